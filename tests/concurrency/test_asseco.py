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


REQUESTS: dict[str, Asked] = {
    "register": register(),
    "register with another name": register(nickname="Other"),
    "register a second": register(SECOND),
    "register a second in capitals": register(SECOND, "MY PHONE"),
    "register a second with another name": register(SECOND, "Other"),
    "another registers": register(customer=OTHER),
    "unregister": unregister(),
    "unregister the second": unregister(SECOND),
    "ban": BAN,
    "unban": UNBAN,
    "end": END,
    "rename": rename("Other"),
    "third name": rename("Third"),
    "old name": rename("My Phone"),
    "capitals": rename("MY PHONE"),
    "small letters": rename("my phone"),
    "block": BLOCK,
    "unblock": UNBLOCK,
    "push a": push("a"),
    "push b": push("b"),
    "import a card": imported(**CARD),
    "import a token": imported(**TOKEN),
    "name a": name_issued("a"),
    "name b": name_issued("b"),
    "block the card": changed(card_status="blocked"),
    "block the issued device": changed(status="blocked"),
}

CASES = schedules.cases("""
    nothing: register | another registers, register a second, register a second in capitals, register with another name
    unregistered: register | another registers, ban, block, another registers + register a second
    unregistered: rename | another registers
    banned: register | unban
    registered: unregister | unregister, register, register with another name, another registers, register a second
    registered: unregister | ban, end, unregister + another registers, another registers + end, ban + register
    registered: another registers | end
    registered: rename | third name, rename, old name, register a second with another name, register a second
    registered: rename | unregister, end, block, unregister + register a second with another name
    registered: rename | unregister + register, third name + unregister, unregister + another registers, end + register
    registered: capitals | small letters, unregister
    two registered: rename | unregister the second
    registered: block | block, unblock, unregister, end, ban
    registered: block | unregister + another registers, unblock + unregister, rename + unregister
    blocked: unblock | unregister, unblock
    registered: push a | push b, push a, unregister, block
    nothing: import a card | import a token, name a
    issued: name a | import a token, name b
    issued: block the card | import a card, import a token
    issued: block the issued device | name a + import a token
""")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("case", schedules.chosen(CASES))
def test_every_schedule_is_equivalent_to_some_order(case: str, bank: Bank) -> None:
    given, asked = schedules.parts(case)
    prepare(given, bank)
    assert schedules.check([REQUESTS[name](bank) for name in asked], broken) > 1
