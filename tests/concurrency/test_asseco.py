"""asseco: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable, Iterator

import pytest

from bindery.registry import identity
from tests import asseco
from tests.asseco import DEVICE, IMEI
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_operators, operator
from tests.invariants import broken
from tests.openid import CUSTOMER, OTHER, Bank

SECOND = "990000862471855"


@pytest.fixture(scope="module", autouse=True)
def bank(environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


Asked = Callable[[Bank], Request]


def register(identifier: str = IMEI, nickname: str = "My Phone", customer: str = CUSTOMER) -> Asked:
    body = {"external-device-identifier": identifier, "operating-system": "iOS", "nickname": nickname}
    does = f"{customer} registers {identifier} as {nickname}"
    return lambda bank: Request(does, lambda: asseco.register(bank, body, customer), gains="bind")


def unregister(identifier: str = IMEI, customer: str = CUSTOMER) -> Asked:
    does = f"{customer} unregisters {identifier}"
    return lambda bank: Request(does, lambda: asseco.unregister(bank, identifier, customer))


def of_one(name: str, body: dict[str, str] | None = None, identifier: str = IMEI) -> Asked:
    """Return a customer's request for a device."""
    does = " ".join([name, *(body or {}).values()])
    return lambda bank: Request(does, lambda: asseco.ask(bank, name, identifier, body))


def rename(nickname: str) -> Asked:
    return of_one("set_nickname", {"nickname": nickname})


def push(handle: str) -> Asked:
    return of_one("set_push_handle", {"push-platform": "apns", "pns-handle": handle})


BLOCK, UNBLOCK = of_one("block_device"), of_one("unblock_device")


BAN, UNBAN, END = ((lambda bank, request=request: request) for request in of_operators(DEVICE))


CARD = {"customer": CUSTOMER, "device_id": "C-1", "kind": "payment-card", "card_status": "valid"}
TOKEN = {"customer": CUSTOMER, "device_id": "C-1", "kind": "otp-token"}


def imported(**row: str) -> Asked:
    """Create or replace an issued device by an import."""
    return lambda bank: operator(f"import {row}", "issued_devices", "POST", "issued-devices/import", {"rows": [row]})


def changed(**members: str) -> Asked:
    path = f"issued-devices/{identity.opaque(CUSTOMER)}/C-1"
    return lambda bank: operator(f"change {members}", "issued_devices", "PATCH", path, members)


def name_issued(nickname: str) -> Asked:
    return of_one("set_issued_nickname", {"nickname": nickname}, "C-1")


GIVEN: dict[str, list[Asked]] = {
    "nothing": [],
    "issued": [imported(**CARD)],
    "registered": [register()],
    "two registered": [register(), register(SECOND, "Other")],
    "blocked": [register(), BLOCK],
    "unregistered": [register(), unregister()],
    "banned": [register(), unregister(), BAN],
}
"""Requests that succeed before those of a case."""


def prepare(given: str, bank: Bank) -> None:
    for ask in GIVEN[given]:
        assert ask(bank).ask().status in (200, 202, 204)


CASES: dict[str, tuple[str, list[Asked]]] = {
    "two register": ("nothing", [register(), register(customer=OTHER)]),
    "two register an unregistered device": ("unregistered", [register(), register(customer=OTHER)]),
    "two of one nickname": ("nothing", [register(), register(SECOND)]),
    "two of one nickname in another spelling": ("nothing", [register(), register(SECOND, "MY PHONE")]),
    "one device twice": ("nothing", [register(), register(nickname="Other")]),
    "two unregister": ("registered", [unregister(), unregister()]),
    "unregister, and register again": ("registered", [unregister(), register()]),
    "unregister, and register under another nickname": ("registered", [unregister(), register(nickname="Other")]),
    "unregister, and another customer registers": ("registered", [unregister(), register(customer=OTHER)]),
    "unregister, and another device of the nickname": ("registered", [unregister(), register(SECOND)]),
    "register and a ban": ("unregistered", [register(), BAN]),
    "register and an unban": ("banned", [register(), UNBAN]),
    "unregister and a ban": ("registered", [unregister(), BAN]),
    "unregister and an end": ("registered", [unregister(), END]),
    "register and an end": ("registered", [register(customer=OTHER), END]),
    "two rename one device": ("registered", [rename("Other"), rename("Third")]),
    "two give one nickname": ("registered", [rename("Other"), rename("Other")]),
    "two rename in upper and lower case": ("registered", [rename("MY PHONE"), rename("my phone")]),
    "rename there and back": ("registered", [rename("Other"), rename("My Phone")]),
    "rename and register": ("registered", [rename("Other"), register(SECOND, "Other")]),
    "rename and register the old nickname": ("registered", [rename("Other"), register(SECOND)]),
    "rename and unregister": ("registered", [rename("Other"), unregister()]),
    "rename in another case and unregister": ("registered", [rename("MY PHONE"), unregister()]),
    "rename to the nickname of an unregistered device": ("two registered", [rename("Other"), unregister(SECOND)]),
    "rename and an end": ("registered", [rename("Other"), END]),
    "rename and block": ("registered", [rename("Other"), BLOCK]),
    "rename and another customer registers": ("unregistered", [rename("Other"), register(customer=OTHER)]),
    "two block": ("registered", [BLOCK, BLOCK]),
    "block and unblock": ("registered", [BLOCK, UNBLOCK]),
    "block and unregister": ("registered", [BLOCK, unregister()]),
    "unblock and unregister": ("blocked", [UNBLOCK, unregister()]),
    "block and an end": ("registered", [BLOCK, END]),
    "block and a ban": ("registered", [BLOCK, BAN]),
    "block and register": ("unregistered", [BLOCK, register()]),
    "two push handles": ("registered", [push("a"), push("b")]),
    "the push handle twice": ("registered", [push("a"), push("a")]),
    "a push handle and unregister": ("registered", [push("a"), unregister()]),
    "a push handle and block": ("registered", [push("a"), BLOCK]),
    "rename, unregister, another device of the nickname": (
        "registered",
        [rename("Other"), unregister(), register(SECOND, "Other")],
    ),
    "rename, unregister, register again": ("registered", [rename("Other"), unregister(), register()]),
    "two rename, unregister": ("registered", [rename("Other"), rename("Third"), unregister()]),
    "rename, unregister, another registers": ("registered", [rename("Other"), unregister(), register(customer=OTHER)]),
    "block, unregister, another registers": ("registered", [BLOCK, unregister(), register(customer=OTHER)]),
    "two unblock": ("blocked", [UNBLOCK, UNBLOCK]),
    "block, unblock, unregister": ("registered", [BLOCK, UNBLOCK, unregister()]),
    "block, rename, unregister": ("registered", [BLOCK, rename("Other"), unregister()]),
    "rename, an end, register": ("registered", [rename("Other"), END, register()]),
    "three register": ("unregistered", [register(), register(customer=OTHER), register(SECOND)]),
    "two unregister, another registers": ("registered", [unregister(), unregister(), register(customer=OTHER)]),
    "unregister, another registers, an end": ("registered", [unregister(), register(customer=OTHER), END]),
    "unregister, a ban, register": ("registered", [unregister(), BAN, register()]),
    "two import one issued device": ("nothing", [imported(**CARD), imported(**TOKEN)]),
    "a nickname and an import of an issued device": ("nothing", [name_issued("a"), imported(**CARD)]),
    "a nickname and another import": ("issued", [name_issued("a"), imported(**TOKEN)]),
    "two nicknames of an issued device": ("issued", [name_issued("a"), name_issued("b")]),
    "a status and an import": ("issued", [changed(card_status="blocked"), imported(**CARD)]),
    "a status of a former card": ("issued", [changed(card_status="blocked"), imported(**TOKEN)]),
    "a status, a nickname and an import": ("issued", [changed(status="blocked"), name_issued("a"), imported(**TOKEN)]),
}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str, bank: Bank) -> None:
    given, asked = CASES[case]
    prepare(given, bank)
    assert schedules.check([ask(bank) for ask in asked], broken) > 1
