"""POST /apv/v27/device/connect/stop: its responses, and the connections it ends and keeps."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.connectivity import leases
from bindery.connectivity.leases import Connection
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, users
from bindery.registry import identity, items
from tests.http_api import Response
from tests.records import ADDRESS, bound, connection, developer
from tests.sample_requests import send
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")
OTHERS = "80:00:00:00:00:00:00:F2"
ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
NOWHERE = "80:00:00:00:00:00:00:F9"
REFUSED = (401, '{"status":"false","reason":"missing or invalid deviceaddress or connectionid","code":"GENERAL_ERROR"}')


@pytest.fixture(autouse=True)
def headers(registry: None) -> dict[str, str]:
    """Create Ann of acme, whose device has an address, and Eve of another account. Return Ann's headers."""
    for account, uid, address in (("acme", "ann", ADDRESS), ("other", "eve", OTHERS)):
        accounts.create(account, name=account)
        users.create(uid, account)
        bound(account, "M", "S", address)
    return developer("ann", "acme")


def stop(headers: dict[str, str], body: Any) -> Response:
    return send("remoteit.stop_connection", headers, body=body)


def device() -> str:
    return identity.company_device("acme", "M", "S")


def admitted(made: Connection) -> bool:
    try:
        return leases.admit(made.label, "203.0.113.9").lease["connection"] == made.id
    except Refused:
        return False


@pytest.mark.parametrize("spelled", [str.upper, str.lower, lambda text: f" {text} "])
def test_stopped_connection_is_deleted_and_refuses_clients(
    headers: dict[str, str], spelled: Callable[[str], str]
) -> None:
    bound = [item for item in stored(Table.BINDINGS) if item["sk"] == "owner"]
    theirs = connection("eve", OTHERS)
    made = connection("ann")
    answer = stop(headers, {"deviceaddress": spelled(ADDRESS), "connectionid": spelled(made.id)})
    assert (answer.status, answer.body) == (200, f'{{"status":"true","connectionid":"{made.id}"}}')
    assert (admitted(made), admitted(theirs)) == (False, True)
    assert [item for item in stored(Table.BINDINGS) if item["pk"] == device()] == [
        item for item in bound if item["pk"] == device()
    ]
    again = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (again.status, again.body) == REFUSED
    assert admitted(connection("ann"))


def test_any_wrong_value_gets_one_refusal_and_ends_nothing(headers: dict[str, str]) -> None:
    users.create("bob", "acme")
    ended, theirs, colleagues = connection("ann"), connection("eve", OTHERS), connection("bob")
    made = connection("ann")
    stands = everything()
    wrong_addresses = (None, " ", 8, "no address", ADDRESS[:-3], NOWHERE, OTHERS)
    wrong_ids = (
        *(None, " ", ["x"], theirs.id, colleagues.id, ended.id, "no id", f"{{{made.id}}}", f"urn:uuid:{made.id}"),
        *(made.id.replace("-", ""), made.id.translate(ARABIC), f"-{made.id}", "\ud800", "x" * 10_000, made.label),
    )
    for body in (
        *({}, {"deviceaddress": ADDRESS}, {"connectionid": made.id}),
        {"deviceaddress": OTHERS, "connectionid": theirs.id},
        *({"deviceaddress": address, "connectionid": made.id} for address in wrong_addresses),
        *({"deviceaddress": ADDRESS, "connectionid": wrong} for wrong in wrong_ids),
    ):
        answer = stop(headers, body)
        assert (answer.status, answer.body) == REFUSED, body
        assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert everything() == stands


def test_expired_connection_cannot_be_stopped(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = connection("ann")
    stands = everything()
    monkeypatch.setattr(clock, "now", lambda: made.expires_at * 1000)
    over = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (over.status, over.body) == REFUSED
    assert everything() == stands


def test_user_of_an_ended_share_can_stop_their_connection(headers: dict[str, str]) -> None:
    made = connection("ann")
    dynamodb.write(items.user("ann").update(set={"customer": None}))
    dynamodb.write(items.owner(device()).update(set={"holder": "account#other"}))
    assert stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id}).status == 200
