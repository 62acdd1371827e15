"""asseco: every schedule of parallel requests is equivalent to some order of the requests."""

import json
from collections.abc import Callable, Iterator

import pytest

from bindery.registry import devices, identity
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, operator
from tests.http_api import event, invoke
from tests.invariants import broken
from tests.openid import CUSTOMER, OTHER, Bank

IMEI, SECOND = "990000862471854", "990000862471855"
DEVICE = identity.customer_device(IMEI)


@pytest.fixture(scope="module", autouse=True)
def bank(environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


Asked = Callable[[Bank], Request]


def headers(bank: Bank, customer: str) -> dict[str, str]:
    return {"authorization": f"bearer {bank.token(sub=customer)}"}


def register(identifier: str = IMEI, nickname: str = "My Phone", customer: str = CUSTOMER) -> Asked:
    def asked(bank: Bank) -> Request:
        body = {"external-device-identifier": identifier, "operating-system": "iOS", "nickname": nickname}
        request = event("POST", "/v1/device/owned-devices", headers=headers(bank, customer), body=json.dumps(body))
        return Request(
            f"{customer} registers {identifier} as {nickname}",
            lambda: invoke("asseco.register_owned_device", request),
            gains="bind",
        )

    return asked


def unregister(identifier: str = IMEI, customer: str = CUSTOMER) -> Asked:
    def asked(bank: Bank) -> Request:
        path = f"/v1/device/devices/{identifier}/unregister"
        request = event("POST", path, headers=headers(bank, customer), path_parameters={"imei": identifier})
        return Request(f"{customer} unregisters {identifier}", lambda: invoke("asseco.unregister_device", request))

    return asked


def owned(does: str, method: str, body: dict[str, str] | None = None) -> Asked:
    """Return a customer's request for their device."""

    def asked(bank: Bank) -> Request:
        request = event(
            method,
            f"/v1/device/owned-devices/{IMEI}/{does}",
            headers=headers(bank, CUSTOMER),
            body=None if body is None else json.dumps(body),
            path_parameters={"device-id": IMEI},
        )
        name = {"nickname": "set_nickname", "push-notification-handle": "set_push_handle"}.get(does, f"{does}_device")
        return Request(" ".join([does, *(body or {}).values()]), lambda: invoke(f"asseco.{name}", request))

    return asked


def rename(nickname: str) -> Asked:
    return owned("nickname", "PUT", {"nickname": nickname})


def push(handle: str) -> Asked:
    return owned("push-notification-handle", "PUT", {"push-platform": "apns", "pns-handle": handle})


BLOCK, UNBLOCK = owned("block", "POST"), owned("unblock", "POST")


def ban(bank: Bank) -> Request:
    return of_device(DEVICE, "ban", reason="stolen")


def unban(bank: Bank) -> Request:
    return of_device(DEVICE, "unban")


def end(bank: Bank) -> Request:
    return of_device(DEVICE, "unbind", reason="lost")


CARD = {"customer": CUSTOMER, "device_id": "C-1", "kind": "payment-card", "card_status": "valid"}
TOKEN = {"customer": CUSTOMER, "device_id": "C-1", "kind": "otp-token"}


def imported(**row: str) -> Asked:
    """Create or replace an issued device by an import."""
    return lambda bank: operator(f"import {row}", "issued_devices", "POST", "issued-devices/import", {"rows": [row]})


def changed(**members: str) -> Asked:
    path = f"issued-devices/{identity.opaque(CUSTOMER)}/C-1"
    return lambda bank: operator(f"change {members}", "issued_devices", "PATCH", path, members)


def name_issued(nickname: str) -> Asked:
    def asked(bank: Bank) -> Request:
        request = event(
            "PUT",
            "/v1/device/issued-devices/C-1/nickname",
            headers=headers(bank, CUSTOMER),
            body=json.dumps({"nickname": nickname}),
            path_parameters={"device-id": "C-1"},
        )
        return Request(f"name {nickname}", lambda: invoke("asseco.set_issued_nickname", request))

    return asked


def issued(bank: Bank) -> None:
    assert imported(**CARD)(bank).ask().status == 200


def nothing(bank: Bank) -> None:
    """Start with nothing registered."""


def registered(bank: Bank) -> None:
    assert register()(bank).ask().status == 200


def two_registered(bank: Bank) -> None:
    registered(bank)
    assert register(SECOND, "Other")(bank).ask().status == 200


def blocked(bank: Bank) -> None:
    registered(bank)
    assert BLOCK(bank).ask().status == 204


def unregistered(bank: Bank) -> None:
    registered(bank)
    assert unregister()(bank).ask().status == 202


def banned(bank: Bank) -> None:
    unregistered(bank)
    devices.ban(DEVICE, "stolen")


CASES: dict[str, tuple[Callable[[Bank], None], list[Asked]]] = {
    "two register": (nothing, [register(), register(customer=OTHER)]),
    "two register an unregistered device": (unregistered, [register(), register(customer=OTHER)]),
    "two of one nickname": (nothing, [register(), register(SECOND)]),
    "two of one nickname in another spelling": (nothing, [register(), register(SECOND, "MY PHONE")]),
    "one device twice": (nothing, [register(), register(nickname="Other")]),
    "two unregister": (registered, [unregister(), unregister()]),
    "unregister, and register again": (registered, [unregister(), register()]),
    "unregister, and register under another nickname": (registered, [unregister(), register(nickname="Other")]),
    "unregister, and another customer registers": (registered, [unregister(), register(customer=OTHER)]),
    "unregister, and another device of the nickname": (registered, [unregister(), register(SECOND)]),
    "register and a ban": (unregistered, [register(), ban]),
    "register and an unban": (banned, [register(), unban]),
    "unregister and a ban": (registered, [unregister(), ban]),
    "unregister and an end": (registered, [unregister(), end]),
    "register and an end": (registered, [register(customer=OTHER), end]),
    "two rename one device": (registered, [rename("Other"), rename("Third")]),
    "two give one nickname": (registered, [rename("Other"), rename("Other")]),
    "two rename in upper and lower case": (registered, [rename("MY PHONE"), rename("my phone")]),
    "rename there and back": (registered, [rename("Other"), rename("My Phone")]),
    "rename and register": (registered, [rename("Other"), register(SECOND, "Other")]),
    "rename and register the old nickname": (registered, [rename("Other"), register(SECOND)]),
    "rename and unregister": (registered, [rename("Other"), unregister()]),
    "rename in another case and unregister": (registered, [rename("MY PHONE"), unregister()]),
    "rename to the nickname of an unregistered device": (two_registered, [rename("Other"), unregister(SECOND)]),
    "rename and an end": (registered, [rename("Other"), end]),
    "rename and block": (registered, [rename("Other"), BLOCK]),
    "rename and another customer registers": (unregistered, [rename("Other"), register(customer=OTHER)]),
    "two block": (registered, [BLOCK, BLOCK]),
    "block and unblock": (registered, [BLOCK, UNBLOCK]),
    "block and unregister": (registered, [BLOCK, unregister()]),
    "unblock and unregister": (blocked, [UNBLOCK, unregister()]),
    "block and an end": (registered, [BLOCK, end]),
    "block and a ban": (registered, [BLOCK, ban]),
    "block and register": (unregistered, [BLOCK, register()]),
    "two push handles": (registered, [push("a"), push("b")]),
    "the push handle twice": (registered, [push("a"), push("a")]),
    "a push handle and unregister": (registered, [push("a"), unregister()]),
    "a push handle and block": (registered, [push("a"), BLOCK]),
    "rename, unregister, another device of the nickname": (
        registered,
        [rename("Other"), unregister(), register(SECOND, "Other")],
    ),
    "rename, unregister, register again": (registered, [rename("Other"), unregister(), register()]),
    "two rename, unregister": (registered, [rename("Other"), rename("Third"), unregister()]),
    "block, unblock, unregister": (registered, [BLOCK, UNBLOCK, unregister()]),
    "block, rename, unregister": (registered, [BLOCK, rename("Other"), unregister()]),
    "rename, an end, register": (registered, [rename("Other"), end, register()]),
    "three register": (unregistered, [register(), register(customer=OTHER), register(SECOND)]),
    "two unregister, another registers": (registered, [unregister(), unregister(), register(customer=OTHER)]),
    "unregister, another registers, an end": (registered, [unregister(), register(customer=OTHER), end]),
    "unregister, a ban, register": (registered, [unregister(), ban, register()]),
    "two import one issued device": (nothing, [imported(**CARD), imported(**TOKEN)]),
    "a nickname and an import of an issued device": (nothing, [name_issued("a"), imported(**CARD)]),
    "a nickname and another import": (issued, [name_issued("a"), imported(**TOKEN)]),
    "two nicknames of an issued device": (issued, [name_issued("a"), name_issued("b")]),
    "a status and an import": (issued, [changed(card_status="blocked"), imported(**CARD)]),
    "a status of a former card": (issued, [changed(card_status="blocked"), imported(**TOKEN)]),
    "a status, a nickname and an import": (issued, [changed(status="blocked"), name_issued("a"), imported(**TOKEN)]),
}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str, bank: Bank) -> None:
    given, asked = CASES[case]
    given(bank)
    assert schedules.check([ask(bank) for ask in asked], broken) > 1
