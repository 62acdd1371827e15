import json
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import accounts, tsl, users
from bindery.http import fields
from bindery.quectel import user_domains
from bindery.registry.bindings import Mode
from tests.http_api import OPERATOR, admin
from tests.quectel import ME, PK, World, as_user, refused, succeeded
from tests.records import TSL
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry", "named")

LOCK: dict[str, Any] = {"product_key": "p1", "name": "Smart lock", "module_type": "BC26"}
LISTED = ["a", "b", "x"]


@pytest.fixture
def named(registry: None) -> None:
    """Create the user domains and users that these tests use."""
    for name in LISTED:
        user_domains.create(name)
    accounts.create("acme", name="Acme")
    users.create("ada", "acme")


@pytest.mark.parametrize("mode", Mode)
def test_product_is_created_with_the_specified_fields(mode: Mode) -> None:
    given = LOCK | {"mode": mode, "domains": ["a"], "data_center": "eu", "capabilities": 5}
    assert admin("products", "POST", "products", given).json().items() >= given.items()


def test_change_of_product_domains_takes_effect_immediately() -> None:
    World()
    user_domains.create("E.DM.2")
    admin("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2"]})
    refused(as_user(ME), 5229)
    admin("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2", "E.DM.1"]})
    succeeded(as_user(ME))


def test_product_has_at_most_99_domains() -> None:
    names = [f"d{number}" for number in range(100)]
    for name in names:
        user_domains.create(name)
    assert admin("products", "POST", "products", LOCK | {"domains": names}).json()["reason"] == "limit_reached"
    assert admin("products", "POST", "products", LOCK | {"domains": names[1:]}).status == 200
    before = everything()
    assert admin("products", "PATCH", "products/p1", {"domains": names}).json()["reason"] == "limit_reached"
    assert everything() == before


def test_blocked_user_cannot_bind_until_unblocked() -> None:
    World()
    for _ in range(2):
        answer = admin("products", "PUT", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": True})
    (record,) = [item for item in stored(Table.DIRECTORY) if item["pk"] == f"bars#{ME}"]
    assert record["changed_by"] == OPERATOR
    refused(as_user(ME), 5327)
    for _ in range(2):
        answer = admin("products", "DELETE", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": False})
    succeeded(as_user(ME))


def test_tsl_is_stored_beside_its_product_and_replaced() -> None:
    admin("products", "POST", "products", LOCK)
    (product,) = (item for item in stored(Table.DIRECTORY) if item["pk"] == "product#p1")
    for model in (TSL, {"properties": []}):
        answer = admin("products", "PUT", "products/p1/tsl", model)
        assert (answer.status, answer.json()) == (200, {"product_key": "p1", "properties": len(model["properties"])})
        assert admin("products", "GET", "products/p1").json()["tsl"] is True
    kept, record = (item for item in stored(Table.DIRECTORY) if item["pk"] == "product#p1")
    assert (kept, record["sk"], record["changed_by"]) == (product, "tsl", OPERATOR)
    assert json.loads(tsl.text(record)) == {"profile": {}, "properties": [], "services": [], "events": []}


@pytest.mark.parametrize("length", [256 * 1024, 256 * 1024 + 1])
def test_tsl_has_at_most_256_kib(length: int) -> None:
    admin("products", "POST", "products", LOCK)
    model = {"profile": {}, "properties": [], "services": [], "events": [], "text": ""}
    model["text"] = "x" * (length - len(json.dumps(model, separators=(",", ":"))))
    answer = admin("products", "PUT", "products/p1/tsl", model)
    assert (answer.status, answer.json().get("reason")) == (
        (200, None) if length <= tsl.LIMIT else (409, "limit_reached")
    )


def test_data_center_matches_the_stack_parameter() -> None:
    parameter = template.document()["Parameters"]["DataCenter"]
    assert (fields.DATA_CENTER["pattern"], fields.DATA_CENTER["max_length"]) == (
        parameter["AllowedPattern"],
        parameter["MaxLength"],
    )
