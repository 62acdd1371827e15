"""Owned devices: changes just before a write. tests/concurrency/test_asseco.py has the other schedules."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.asseco import owned_devices
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key, Table
from bindery.registry import devices, identity, items
from tests import aws_calls, calls
from tests.asseco import DEVICE, IMEI, SAMPLE, UNKNOWN, ask, register
from tests.concurrency import races
from tests.http_api import Response
from tests.openid import CUSTOMER, OTHER, Bank
from tests.tables import everything, stored

GIVEN = {
    "nickname": "My Phone",
    "kind": IdentifierKind.IMEI,
    "operating_system": "iOS 9.x",
    "brand_name": None,
    "model_name": None,
    "push_platform": None,
    "push_handle": None,
}
NEW = {"nickname": "New"}
PUSH = {"push-platform": "apns", "pns-handle": "h"}


def entered(who: str = CUSTOMER, identifier: str = IMEI, **changes: Any) -> None:
    owned_devices.register(who, identifier, **{**GIVEN, **changes})


def block() -> None:
    owned_devices.block(CUSTOMER, IMEI)


def unblock() -> None:
    owned_devices.unblock(CUSTOMER, IMEI)


def push(handle: str = "h") -> None:
    owned_devices.set_push_handle(CUSTOMER, IMEI, PushPlatform.APNS, handle)


def end() -> None:
    owned_devices.unregister(CUSTOMER, IMEI)


def passed_on() -> None:
    end()
    entered(OTHER)


def banned() -> None:
    dynamodb.write(devices.seen(DEVICE, "asseco"))
    devices.ban(DEVICE, "stolen")


def send(bank: Bank, name: str) -> Response:
    """Send a customer's request for the device."""
    if name == "register_owned_device":
        return register(bank, SAMPLE)
    return ask(bank, name, IMEI, {"set_nickname": NEW, "set_push_handle": PUSH}.get(name))


NOT_VALID, NOT_EXIST = (440, "device-status-not-valid"), (404, "device-not-exist")
REFUSED: list[tuple[str, Callable[[], object], tuple[int, str]]] = [
    ("register_owned_device", entered, (440, "imei-not-unique")),
    ("register_owned_device", lambda: entered(OTHER), (440, "imei-not-unique")),
    ("register_owned_device", lambda: entered(identifier="another"), (440, "nickname-not-unique")),
    ("register_owned_device", banned, NOT_VALID),
    ("set_nickname", lambda: entered(identifier="another", nickname="new"), (440, "nickname-not-unique")),
    ("set_nickname", lambda: (end(), entered()), (503, "service-unavailable")),
    ("set_push_handle", push, (440, "valid-push-registration-exist")),
    ("set_push_handle", block, NOT_VALID),
    ("block_device", block, NOT_VALID),
    ("unblock_device", unblock, NOT_VALID),
    *(
        (name, happen, refusal)
        for name in ("unregister_device", "set_nickname", "set_push_handle", "block_device", "unblock_device")
        for happen, refusal in ((end, NOT_VALID), (passed_on, NOT_EXIST))
    ),
]


@pytest.mark.parametrize(("name", "happen", "refusal"), REFUSED)
def test_change_just_before_the_write_gives_its_refusal(
    name: str, happen: Callable[[], object], refusal: tuple[int, str], bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "register_owned_device":
        entered()
    if name == "unblock_device":
        block()
    after: list[Any] = []
    races.before(monkeypatch, "TransactWriteItems", lambda: (happen(), after.append(everything())))
    answer = send(bank, name)
    assert (answer.status, answer.json()["problem"]) == refusal
    assert [everything()] == after


@pytest.mark.parametrize("name", ["unregister_device", "set_nickname"])
def test_nickname_lock_of_another_device_is_not_removed(name: str, bank: Bank) -> None:
    entered()
    dynamodb.write(items.nickname_lock(CUSTOMER, "My Phone").update(set={"binding": "another's"}))
    before = everything()
    assert send(bank, name).status == 503
    assert everything() == before


def test_issued_device_erased_concurrently_gets_no_nickname(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Key(Table.DIRECTORY, identity.customer_holder(CUSTOMER), f"issued#{IMEI}")
    dynamodb.write(place.update(set={"kind": "otp-token"}))
    races.before(monkeypatch, "UpdateItem", lambda: dynamodb.write(Delete(place)))
    answer = ask(bank, "set_issued_nickname", IMEI, NEW)
    assert (answer.status, answer.body) == (404, UNKNOWN)
    assert stored(Table.DIRECTORY) == []


def test_list_takes_at_most_two_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        entered(identifier=f"{number}", nickname=f"{number}")
    query = aws_calls.real("Query")
    aws_calls.replace(monkeypatch, "Query", lambda **request: query(**request, Limit=2))
    with calls.recording("asseco.list_owned_devices") as invocation:
        assert [device.identifier for device in owned_devices.list_devices(CUSTOMER)] == ["0", "1", "2", "3"]
    assert invocation.dynamodb == ["Query", "Query"]
