"""rufus: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.directory import api_keys
from bindery.registry import devices, identity
from bindery.security import secrets
from tests import rufus
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, operator
from tests.invariants import broken
from tests.rufus import UNBINDER


def bind(alias: str) -> Request:
    body = {"model": "M", "serial_number": "S", "alias": alias}
    return Request(f"bind as {alias}", lambda: rufus.bind(body, UNBINDER), gains="bind")


def unbind() -> Request:
    deviceid = secrets.device_id("acme", "M", "S")
    return Request("unbind", lambda: rufus.unbind(deviceid))


def device() -> str:
    return identity.company_device("acme", "M", "S")


def ban() -> Request:
    return of_device(device(), "ban", reason="stolen")


def unban() -> Request:
    return of_device(device(), "unban")


def end() -> Request:
    return of_device(device(), "unbind", reason="lost")


def revoke() -> Request:
    return operator("revoke", "keys", "POST", f"keys/{api_keys.id_of(UNBINDER)}/revoke")


def unused() -> None:
    """Start with a key that was not used today, so its first use is recorded."""


def bound() -> None:
    assert bind("first").ask().status == 201


def unbound() -> None:
    bound()
    assert end().ask().status == 200


def banned() -> None:
    bound()
    devices.ban(device(), "stolen")


CASES: dict[str, tuple[Callable[[], None], Callable[[], list[Request]]]] = {
    "two bind, the key's first uses": (unused, lambda: [bind("a"), bind("b")]),
    "two bind an unbound device": (unbound, lambda: [bind("a"), bind("b")]),
    "two bind again": (bound, lambda: [bind("a"), bind("b")]),
    "a bind and a ban": (unbound, lambda: [bind("a"), ban()]),
    "a bind again and a ban": (bound, lambda: [bind("a"), ban()]),
    "a bind and an unban": (banned, lambda: [bind("a"), unban()]),
    "a bind and an end": (bound, lambda: [bind("a"), end()]),
    "a bind and the end of nothing": (unbound, lambda: [bind("a"), end()]),
    "a bind and an unbind": (bound, lambda: [bind("a"), unbind()]),
    "a bind and the unbind of nothing": (unbound, lambda: [bind("a"), unbind()]),
    "two unbinds": (bound, lambda: [unbind(), unbind()]),
    "an unbind and an end": (bound, lambda: [unbind(), end()]),
    "an unbind and a ban": (bound, lambda: [unbind(), ban()]),
    "a bind and the key's revocation": (bound, lambda: [bind("a"), revoke()]),
    "a bind, an unbind and a bind": (bound, lambda: [bind("a"), unbind(), bind("b")]),
    "an unbind, a bind and an end": (bound, lambda: [unbind(), bind("a"), end()]),
    "an unbind, a bind and a ban": (bound, lambda: [unbind(), bind("a"), ban()]),
    "two ends": (bound, lambda: [end(), end()]),
    "three bind an unbound device": (unbound, lambda: [bind("a"), bind("b"), bind("c")]),
    "a bind, an end and a bind": (bound, lambda: [bind("a"), end(), bind("b")]),
    "a bind, a ban and an unban": (bound, lambda: [bind("a"), ban(), unban()]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_schedule_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared("companies", rufus.install)
    given()
    assert schedules.check(asked(), broken) > 1
