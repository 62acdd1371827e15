"""Owned devices: concurrent changes between a request's read and its write, and lost responses."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from bindery.asseco import owned_devices
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key, Table
from bindery.http import operation
from bindery.registry import devices, identity, items
from tests import calls
from tests.concurrency import races
from tests.http_api import Response, event, invoke
from tests.openid import CUSTOMER, OTHER, Bank
from tests.tables import everything, stored

IMEI = "990000862471854"
DEVICE = identity.customer_device(IMEI)
GIVEN = {
    "nickname": "My Phone",
    "kind": IdentifierKind.IMEI,
    "operating_system": "iOS 9.x",
    "brand_name": None,
    "model_name": None,
    "push_platform": None,
    "push_handle": None,
}


@pytest.fixture(autouse=True)
def bank(registry: None, environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


def register(bank: Bank, nickname: str = "My Phone") -> Response:
    body = json.dumps({"imei": IMEI, "nickname": nickname, "operating-system": "iOS 9.x"})
    headers = {"authorization": f"Bearer {bank.token()}"}
    return invoke("asseco.register_owned_device", event("POST", "/v1/device/owned-devices", headers=headers, body=body))


def unregister(bank: Bank) -> Response:
    headers = {"authorization": f"Bearer {bank.token()}"}
    path = f"/v1/device/devices/{IMEI}/unregister"
    request = event("POST", path, headers=headers, path_parameters={"imei": IMEI})
    return invoke("asseco.unregister_device", request)


def change(bank: Bank, name: str, body: Any = None, collection: str = "owned") -> Response:
    """Call an operation that changes a device."""
    headers = {"authorization": f"Bearer {bank.token()}"}
    path = f"/v1/device/{collection}-devices/{IMEI}/x"
    request = event("PUT", path, headers=headers, path_parameters={"device-id": IMEI}, body=json.dumps(body))
    return invoke(f"asseco.{name}", request)


def entered(who: str = CUSTOMER, identifier: str = IMEI, **changes: Any) -> None:
    owned_devices.register(who, identifier, **{**GIVEN, **changes})


def block() -> None:
    owned_devices.block(CUSTOMER, IMEI)


def unblock() -> None:
    owned_devices.unblock(CUSTOMER, IMEI)


def rename(nickname: str = "Renamed") -> None:
    owned_devices.rename(CUSTOMER, IMEI, nickname)


def push(handle: str = "h") -> None:
    owned_devices.set_push_handle(CUSTOMER, IMEI, PushPlatform.APNS, handle)


def end() -> None:
    owned_devices.unregister(CUSTOMER, IMEI)


def anew() -> None:
    end()
    entered()


def banned() -> None:
    dynamodb.write(devices.seen(DEVICE, "asseco"))
    devices.ban(DEVICE, "stolen")


def passed_on() -> None:
    owned_devices.unregister(CUSTOMER, IMEI)
    entered(OTHER)


@pytest.mark.parametrize(
    ("happen", "problem"),
    [
        (entered, "imei-not-unique"),
        (lambda: entered(OTHER), "imei-not-unique"),
        (lambda: entered(identifier="another"), "nickname-not-unique"),
        (banned, "device-status-not-valid"),
    ],
)
def test_second_concurrent_registration_writes_nothing(
    happen: Callable[[], object], problem: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    answer = register(bank)
    assert (answer.status, answer.json()["problem"]) == (440, problem)
    assert [everything()] == after


@pytest.mark.parametrize(
    ("happen", "status", "problem"),
    [
        (end, 440, "device-status-not-valid"),
        (passed_on, 404, "device-not-exist"),
        (rename, 503, "service-unavailable"),
    ],
)
def test_device_changed_since_read_is_not_unregistered(
    happen: Callable[[], object], status: int, problem: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    entered()
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    answer = unregister(bank)
    assert (answer.status, answer.json()["problem"]) == (status, problem)
    assert [everything()] == after


@pytest.mark.parametrize("name", ["unregister_device", "set_nickname"])
def test_nickname_lock_of_another_device_is_not_removed(name: str, bank: Bank):
    entered()
    guard = items.nickname_lock(CUSTOMER, "My Phone")
    dynamodb.write(guard.update(set={"binding": "another's"}))
    before = everything()
    answer = unregister(bank) if name == "unregister_device" else change(bank, name, NEW)
    assert (answer.status, answer.json()["problem"]) == AGAIN
    assert everything() == before


def test_device_blocked_concurrently_is_unregistered(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    entered()
    races.before(monkeypatch, "transact_write_items", block)
    assert unregister(bank).status == 202
    assert [item["status"] for item in stored(Table.BINDINGS)] == ["unregistered"]


NEW = {"nickname": "New"}
PUSH = {"push-platform": "apns", "pns-handle": "h"}
NOT_VALID = (440, "device-status-not-valid")
UNKNOWN = (404, "device-not-exist")
AGAIN = (503, "service-unavailable")


@pytest.mark.parametrize(
    ("name", "body", "happen", "refusal"),
    [
        ("set_nickname", NEW, end, NOT_VALID),
        ("set_nickname", NEW, passed_on, UNKNOWN),
        ("set_nickname", NEW, anew, AGAIN),
        ("set_nickname", NEW, rename, AGAIN),
        ("set_nickname", NEW, lambda: rename("new"), AGAIN),
        ("set_nickname", NEW, lambda: entered(identifier="another", nickname="new"), (440, "nickname-not-unique")),
        ("set_nickname", {"nickname": "MY PHONE"}, rename, AGAIN),
        ("set_push_handle", PUSH, end, NOT_VALID),
        ("set_push_handle", PUSH, block, NOT_VALID),
        ("set_push_handle", PUSH, passed_on, UNKNOWN),
        ("set_push_handle", PUSH, push, (440, "valid-push-registration-exist")),
        ("block_device", None, end, NOT_VALID),
        ("block_device", None, block, NOT_VALID),
        ("block_device", None, passed_on, UNKNOWN),
    ],
)
def test_second_concurrent_change_writes_nothing(
    name: str,
    body: Any,
    happen: Callable[[], object],
    refusal: tuple[int, str],
    bank: Bank,
    monkeypatch: pytest.MonkeyPatch,
):
    entered()
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    written = io.StringIO()
    monkeypatch.setattr(operation.logger.registered_handler, "stream", written)
    answer = change(bank, name, body)
    assert (answer.status, answer.json()["problem"]) == refusal
    # Not an internal error: concurrent changes by one customer must not roll back a deployment.
    assert [json.loads(line)["level"] for line in written.getvalue().splitlines()] == ["INFO"]
    assert [everything()] == after


@pytest.mark.parametrize(("happen", "refusal"), [(unblock, NOT_VALID), (end, NOT_VALID), (passed_on, UNKNOWN)])
def test_device_no_longer_blocked_is_not_unblocked(
    happen: Callable[[], object], refusal: tuple[int, str], bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    entered()
    block()
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    answer = change(bank, "unblock_device")
    assert (answer.status, answer.json()["problem"]) == refusal
    assert [everything()] == after


@pytest.mark.parametrize(
    ("name", "body", "happen"),
    [
        ("set_nickname", NEW, block),
        ("set_nickname", NEW, push),
        ("set_push_handle", PUSH, rename),
        ("set_push_handle", PUSH, lambda: push("other")),
        ("set_push_handle", PUSH, anew),
        ("block_device", None, rename),
        ("block_device", None, push),
    ],
)
def test_changes_to_different_fields_do_not_conflict(
    name: str, body: Any, happen: Callable[[], object], bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    entered()
    races.before(monkeypatch, "transact_write_items", happen)
    assert change(bank, name, body).status == 204
    owner = stored(Table.BINDINGS)[0]
    (guard,) = stored(Table.BINDINGS)[1:]
    assert guard["sk"] == f"nickname#{identity.folded(owner['nickname'])}"
    assert guard["binding"] == owner["binding"]
    if name == "set_push_handle":
        assert owner["push_handle"] == "h"
    if name == "set_nickname":
        assert owner["nickname"] == "New"
    if happen is block or name == "block_device":
        assert owner["status"] == "blocked"


def test_blocking_ends_connections_in_the_same_write(bank: Bank):
    entered()
    dynamodb.write(items.owner(DEVICE).update(set={"leases": {"ada": 1}}))
    assert change(bank, "block_device").status == 204
    assert stored(Table.BINDINGS)[0]["leases"] == {}


def test_issued_device_erased_concurrently_gets_no_nickname(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    customers = identity.customer_holder(CUSTOMER)
    dynamodb.write(Key(Table.DIRECTORY, customers, f"issued#{IMEI}").update(set={"kind": "otp-token"}))
    erase = Delete(Key(Table.DIRECTORY, customers, f"issued#{IMEI}"))
    races.before(monkeypatch, "update_item", lambda: dynamodb.write(erase))
    answer = change(bank, "set_issued_nickname", NEW, "issued")
    assert (answer.status, answer.json()["problem"]) == UNKNOWN
    assert stored(Table.DIRECTORY) == []


@pytest.mark.parametrize(
    ("name", "body", "before"),
    [
        ("set_nickname", NEW, None),
        ("set_push_handle", PUSH, None),
        ("block_device", None, None),
        ("unblock_device", None, block),
    ],
)
def test_retry_of_change_after_lost_response_is_idempotent(
    name: str, body: Any, before: Callable[[], object] | None, bank: Bank
):
    entered()
    if before is not None:
        before()
    sent = races.lose_first_response("TransactWriteItems")
    assert change(bank, name, body).status == 204
    assert len(sent) == 2


def test_retry_of_registration_after_lost_response_is_idempotent(bank: Bank):
    sent = races.lose_first_response("TransactWriteItems")
    assert register(bank).body == f'{{"id":"{IMEI}","CreatedRecordStatus":"active"}}'
    assert len(sent) == 2
    assert json.loads(sent[1])["ClientRequestToken"]
    assert len(stored(Table.BINDINGS)) == 2


def test_failed_write_is_503_with_retry_after(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    races.before(monkeypatch, "transact_write_items", fail)
    before = everything()
    answer = register(bank)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body == '{"problem":"service-unavailable","message":"Service unavailable, try again","details":null}'
    assert everything() == before


def test_unhandled_exception_is_500_without_details(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(owned_devices, "register", lambda *_, **__: 1 / 0)
    answer = register(bank)
    assert answer.status == 500
    assert answer.body == '{"problem":"internal-error","message":"Internal server error","details":null}'


def test_list_takes_at_most_two_round_trips(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    for number in range(5):
        entered(identifier=f"{number}", nickname=f"{number}")
    query = dynamodb.client().query
    monkeypatch.setattr(dynamodb.client(), "query", lambda **request: query(**request, Limit=2))
    with calls.recording("asseco.list_owned_devices") as invocation:
        assert [device.identifier for device in owned_devices.list_devices(CUSTOMER)] == ["0", "1", "2", "3"]
    assert invocation.dynamodb == ["Query", "Query"]
