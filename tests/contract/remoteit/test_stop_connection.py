"""POST /apv/v27/device/connect/stop: its responses, and the connections it ends and keeps."""

import json
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Table
from bindery.connectivity import leases, service_addresses
from bindery.connectivity.leases import ANY_CLIENT, Connection
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import forced_unbind
from bindery.registry import identity, items
from bindery.rufus import company_devices
from tests import calls
from tests.concurrency.races import before
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

ADDRESS = "80:00:00:00:00:00:00:F1"
OTHERS = "80:00:00:00:00:00:00:F2"
ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
NOWHERE = "80:00:00:00:00:00:00:F9"
REFUSED = (401, '{"status":"false","reason":"missing or invalid deviceaddress or connectionid"}')


@pytest.fixture(autouse=True)
def headers(registry: None) -> dict[str, str]:
    """Create Ann of acme, whose device has an address, and Eve of another account. Return Ann's headers."""
    for account, uid, address in (("acme", "ann", ADDRESS), ("other", "eve", OTHERS)):
        accounts.create(account, name=account)
        users.create(uid, account)
        company_devices.bind(account, "M", "S", alias=None, firmware=None, kind=None)
        service_addresses.assign(address, identity.company_device(account, "M", "S"))
    return {
        "developerkey": api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="demo"),
        "token": sessions.issue("ann", "remoteit", 3600)[0],
    }


def device() -> str:
    return identity.company_device("acme", "M", "S")


def connect(uid: str = "ann", address: str = ADDRESS) -> Connection:
    user = dynamodb.get(items.user(uid))
    assert user is not None
    return leases.connect(
        users.from_items(user, accounts.show(user["account"])), address, service_addresses.find(address), ANY_CLIENT
    )


def stop(headers: dict[str, str], body: Any) -> Response:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return invoke("remoteit.stop_connection", event("POST", "/apv/v27/device/connect/stop", headers=headers, body=text))


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
    theirs = connect("eve", OTHERS)
    made = connect()
    answer = stop(headers, {"deviceaddress": spelled(ADDRESS), "connectionid": spelled(made.id)})
    assert (answer.status, answer.body) == (200, f'{{"status":"true","connectionid":"{made.id}"}}')
    assert (admitted(made), admitted(theirs)) == (False, True)
    assert [item for item in stored(Table.BINDINGS) if item["pk"] == device()] == [
        item for item in bound if item["pk"] == device()
    ]
    again = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (again.status, again.body) == REFUSED
    assert admitted(connect())


def test_any_wrong_value_gets_one_refusal_and_ends_nothing(headers: dict[str, str]) -> None:
    users.create("bob", "acme")
    ended, theirs, colleagues = connect(), connect("eve", OTHERS), connect("bob")
    made = connect()
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
    made = connect()
    stands = everything()
    monkeypatch.setattr(clock, "now", lambda: made.expires_at * 1000)
    over = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (over.status, over.body) == REFUSED
    assert everything() == stands


@pytest.mark.parametrize("body", ["", "{", "[]", b"\xff"])
def test_invalid_body_is_400(headers: dict[str, str], body: str | bytes) -> None:
    answer = stop(headers, body)
    assert (answer.status, answer.json()["reason"]) == (400, "malformed request body: a JSON object is expected")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"developerkey": ""}, "missing developer key"),
        ({"token": ""}, "missing api token"),
        ({"token": "no.such.token"}, "invalid api token"),
        ({"developerkey": "A" * 40}, "invalid developer key"),
    ],
)
def test_credentials_are_checked_first(headers: dict[str, str], changes: dict[str, str], reason: str) -> None:
    made = connect()
    for body in ({"deviceaddress": ADDRESS, "connectionid": made.id}, {}, "{"):
        answer = stop(headers | changes, body)
        assert (answer.status, answer.body) == (401, f'{{"status":"false","reason":"{reason}"}}')
    assert admitted(made)


MEANWHILE: list[Callable[[], object]] = [
    lambda: dynamodb.write(Delete(items.owner(device()))),
    lambda: forced_unbind.end(device(), "moved"),
    lambda: (
        service_addresses.withdraw(ADDRESS)
        or service_addresses.assign(ADDRESS, identity.company_device("acme", "M", "S2"))
    ),
    lambda: connect(),
    lambda: leases.stop(device(), "ann"),
]


@pytest.mark.parametrize("change", MEANWHILE)
def test_concurrent_change_never_ends_another_connection(
    headers: dict[str, str], change: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    company_devices.bind("acme", "M", "S2", alias=None, firmware=None, kind=None)
    made = connect()
    left: list[Any] = []

    def happen() -> None:
        left.extend([change(), everything()])

    before(monkeypatch, "transact_write_items", happen)
    answer = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    if change is MEANWHILE[2]:
        # The address now belongs to another device. The connection to the previous device ends anyway.
        assert answer.status == 200
        assert not [item for item in stored(Table.BINDINGS) if item["sk"].startswith("connection#")]
    else:
        assert (answer.status, answer.body) == REFUSED
        assert everything() == left[1]


def unreachable() -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://secret.internal")


@pytest.mark.parametrize("method", ["batch_get_item", "transact_write_items"])
def test_unreachable_registry_is_503_and_ends_nothing(
    headers: dict[str, str], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connect()
    before(monkeypatch, method, unreachable)
    answer = stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body == '{"status":"false","reason":"service unavailable, try again"}'
    assert admitted(made)


def test_stopping_takes_one_batch_read_and_one_transaction(headers: dict[str, str]) -> None:
    body = json.dumps({"deviceaddress": ADDRESS, "connectionid": connect().id})
    request = event("POST", "/apv/v27/device/connect/stop", headers=headers, body=body)
    with calls.recording("remoteit.stop_connection") as invocation:
        template.function("remoteit.stop_connection").load()(request, None)
    assert invocation.dynamodb == ["BatchGetItem", "TransactWriteItems"]


def test_user_of_an_ended_share_can_stop_their_connection(headers: dict[str, str]) -> None:
    made = connect()
    dynamodb.write(items.user("ann").update(set={"customer": None}))
    dynamodb.write(items.owner(device()).update(set={"holder": "account#other"}))
    assert stop(headers, {"deviceaddress": ADDRESS, "connectionid": made.id}).status == 200
