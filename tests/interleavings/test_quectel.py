"""quectel: whatever the order in which requests' calls follow one another, some order of the requests ends like it."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery import clock, devices
from bindery.bindings import serial
from bindery.directory import users
from bindery.directory.products import Mode
from tests import quectel, schedules
from tests.invariants import broken
from tests.quectel import DEVICE, ME, OTHER, PK, SN, THIRD, World
from tests.schedules import Request, of_device

pytestmark = pytest.mark.usefixtures("registry")


def bind(uid: str, **parameters: str) -> Request:
    token = quectel.token(uid)
    return Request(f"{uid} binds", lambda: quectel.bind(token, pk=PK, sn=SN, **parameters))


def ban() -> Request:
    return of_device(DEVICE, "ban", reason="stolen")


def unban() -> Request:
    return of_device(DEVICE, "unban")


def end(uid: str | None = None) -> Request:
    """The end of a binding by force: in multi mode that of `uid`."""
    return of_device(DEVICE, "unbind", query="" if uid is None else {"uid": uid}, reason="lost")


def bound(uid: str, **parameters: str) -> None:
    quectel.succeeded(quectel.as_user(uid, **parameters))


def at_home() -> None:
    for uid in (ME, OTHER, THIRD):
        users.set_home_mode(uid, True)


def accepted(uid: str, seconds: int = 600) -> None:
    serial.accept_share(PK, SN, uid, clock.seconds() + seconds)


def multi_end(mode: Mode, uid: str) -> Request:
    return end(uid if mode is Mode.MULTI else None)


def nothing(mode: Mode) -> None:
    """The device is free."""


def mine(mode: Mode) -> None:
    bound(ME)


def others(mode: Mode) -> None:
    bound(OTHER)


def mine_at_home(mode: Mode) -> None:
    at_home()
    bound(ME, fid="F1")


def banned(mode: Mode) -> None:
    devices.ban(DEVICE, "stolen")


CASES: dict[str, tuple[Callable[[Mode], object], Callable[[Mode], list[Request]]]] = {
    "one user binds twice": (nothing, lambda mode: [bind(ME), bind(ME)]),
    "two users bind": (nothing, lambda mode: [bind(ME), bind(OTHER)]),
    "two users bind what another holds": (lambda mode: bound(THIRD), lambda mode: [bind(ME), bind(OTHER)]),
    "one who binds again, and another": (mine, lambda mode: [bind(ME), bind(OTHER)]),
    "two of a family bind": (
        lambda mode: at_home(),
        lambda mode: [bind(ME, fid="F1"), bind(OTHER, fid="F1")],
    ),
    "two bind into their families": (
        lambda mode: at_home(),
        lambda mode: [bind(ME, fid="F1"), bind(OTHER, fid="F2")],
    ),
    "two bind what is common in a family": (
        mine_at_home,
        lambda mode: [bind(OTHER, fid="F1"), bind(OTHER, fid="F2", isCommonDevice="false")],
    ),
    "a bind and a ban": (nothing, lambda mode: [bind(ME), ban()]),
    "a bind and an unban": (banned, lambda mode: [bind(ME), unban()]),
    "a bind and the end of one's own": (mine, lambda mode: [bind(ME), multi_end(mode, ME)]),
    "a bind and the end of another's": (others, lambda mode: [bind(ME), multi_end(mode, OTHER)]),
    "a bind and the end of what was free": (nothing, lambda mode: [bind(ME), multi_end(mode, ME)]),
    "a bind and an end in two families": (mine_at_home, lambda mode: [bind(OTHER, fid="F2"), multi_end(mode, ME)]),
    "two ends": (mine, lambda mode: [multi_end(mode, ME), multi_end(mode, ME)]),
    "an end and a ban": (mine, lambda mode: [multi_end(mode, ME), ban()]),
    "a ban and an unban": (banned, lambda mode: [ban(), unban()]),
}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("case", CASES)
def test_every_schedule_ends_as_some_order_of_the_requests(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared(mode, lambda: World(mode))
    given(mode)
    schedules.check(asked(mode), broken)
