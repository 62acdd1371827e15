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
        return leases.authorize_client(made.proxy, "203.0.113.9") == made
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
    for body in (
        {},
        {"deviceaddress": ADDRESS},
        {"connectionid": made.id},
        {"deviceaddress": None, "connectionid": None},
        {"deviceaddress": " ", "connectionid": made.id},
        {"deviceaddress": ADDRESS, "connectionid": " "},
        {"deviceaddress": 8, "connectionid": made.id},
        {"deviceaddress": ADDRESS, "connectionid": ["x"]},
        {"deviceaddress": "no address", "connectionid": made.id},
        {"deviceaddress": ADDRESS[:-3], "connectionid": made.id},
        {"deviceaddress": NOWHERE, "connectionid": made.id},
        {"deviceaddress": OTHERS, "connectionid": made.id},
        {"deviceaddress": OTHERS, "connectionid": theirs.id},
        {"deviceaddress": ADDRESS, "connectionid": theirs.id},
        {"deviceaddress": ADDRESS, "connectionid": colleagues.id},
        {"deviceaddress": ADDRESS, "connectionid": ended.id},
        {"deviceaddress": ADDRESS, "connectionid": "no id"},
        {"deviceaddress": ADDRESS, "connectionid": f"{{{made.id}}}"},
        {"deviceaddress": ADDRESS, "connectionid": f"urn:uuid:{made.id}"},
        {"deviceaddress": ADDRESS, "connectionid": made.id.replace("-", "")},
        {"deviceaddress": ADDRESS, "connectionid": made.id.translate(ARABIC)},
        {"deviceaddress": ADDRESS, "connectionid": f"-{made.id}"},
        {"deviceaddress": ADDRESS, "connectionid": "\ud800"},
        {"deviceaddress": ADDRESS, "connectionid": "x" * 10_000},
        {"deviceaddress": ADDRESS, "connectionid": made.proxy},
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
