"""Every refusal of the admin API: the exact response, and that nothing is changed. `refusals.toml` has the rows."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.connectivity import service_addresses
from bindery.directory import accounts, api_keys, products, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import families, user_domains
from bindery.registry import devices, identity
from bindery.registry.bindings import Mode
from tests import moto_registry
from tests.http_api import Response, admin
from tests.records import ADDRESS, registration
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

KEY = "ror-" + "0" * 20
PLACES = {
    "<device>": identity.opaque(identity.manufactured_device("p1", "S1")),
    "<free>": identity.opaque(identity.manufactured_device("p1", "S2")),
    "<phone>": identity.opaque(identity.customer_device("356")),
    "<unknown>": identity.opaque(identity.manufactured_device("p1", "S3")),
    "<customer>": identity.opaque("c1"),
    "<other>": identity.opaque("c2"),
    "<key>": api_keys.id_of(KEY),
}
TITLES = {
    "invalid": (422, "The request is not valid"),
    "not_found": (404, "Not found"),
    "no_route": (404, "The resource does not exist"),
    "already_exists": (409, "It already exists"),
}
FILE = tomllib.loads(Path(__file__).with_name("refusals.toml").read_text())
ROWS = [
    (refusal, row if section == "requests" else f"{section} {row}", rows.get("base", {}))
    for section, rows in FILE.items()
    for refusal, every in rows.items()
    if refusal != "base"
    for row in every
]


def installation() -> None:
    """Create one resource of each kind; the other device and the phone have no service address."""
    accounts.create("acme", name="Acme")
    for domain in ("d", "e"):
        user_domains.create(domain)
    for uid in ("ada", "ben"):
        users.create(uid, "acme", domain="d")
    products.create("p1", name="Lock", module_type="M", mode=Mode.UNIQUE)
    families.create("F1", "ada", members=["ben"], rooms=["R1"])
    for serial in ("S1", "S2"):
        devices.manufacture("p1", serial, device_key="ABCD1234")
    service_addresses.assign(ADDRESS, identity.manufactured_device("p1", "S1"))
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="a", chosen=KEY)
    issued_devices.enter("c1", device_id="T-1", kind="otp-token")
    issued_devices.enter("c1", device_id="C-1", kind="payment-card", card_status="valid")
    registration("c1")


def ask(row: str, base: dict[str, Any]) -> Response:
    """Send a request: its method, its path, and a query or a body over `base`, in which `x*9` means nine x."""
    for name, place in PLACES.items():
        row = row.replace(name, place)
    method, path, given = f"{row} ".split(" ", 2)
    given = re.sub(r"(\w)\*(\d+)", lambda found: found[1] * int(found[2]), given[:-1])
    resource = path.split("/")[0].replace("-", "_")
    if method in ("GET", "DELETE"):
        return admin(resource, method, path, query=given)
    return admin(resource, method, path, json.dumps(base | json.loads(given)) if base else given or None)


def refusal_of(answer: Response) -> str:
    """Return the status of a problem with its errors, or else its detail or its reason."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"]) == TITLES[problem["reason"]]
    assert problem.keys() - {"errors", "detail"} == {"type", "title", "status", "reason"}
    errors = ", ".join(f"{error['at']}: {error['problem']}" for error in problem.get("errors", ()))
    return f"{answer.status} {errors or problem.get('detail') or problem['reason']}"


@pytest.mark.parametrize(("refusal", "row", "base"), ROWS)
def test_refused_request_gets_a_problem_and_changes_nothing(refusal: str, row: str, base: dict[str, Any]) -> None:
    moto_registry.prepare("refusals", installation)
    before = everything()
    assert refusal_of(ask(row, base)) == refusal
    assert everything() == before
