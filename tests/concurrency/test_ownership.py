"""Change of owner: every schedule of parallel requests is equivalent to some order of the requests."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bindery.connectivity import device_credentials
from bindery.directory import users
from bindery.quectel import transfers
from bindery.registry import devices
from bindery.registry.bindings import Mode
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, operator
from tests.concurrency.test_operators import manufactured
from tests.concurrency.test_quectel import (
    BAN,
    END,
    UNBAN,
    accept,
    accepted,
    at_home,
    auth_key,
    bind,
    blocked,
    bound,
    moved,
    of_user,
    offer,
    rename,
    unbind,
)
from tests.invariants import broken
from tests.properties.scale import FULL
from tests.quectel import DEVICE, ME, OTHER, THIRD, World

pytestmark = pytest.mark.usefixtures("registry")

NEW = "dora"


def act(does: str, **body: str) -> Request:
    return of_device(DEVICE, does, **body)


TAKEN = replace(act("accept", uid=OTHER), gains="bind")
"""The user to whom the device is offered accepts it."""
AT_HOME = replace(act("accept", uid=OTHER, fid="F1"), gains="bind")
DECLINED, WITHDRAWN = act("decline", uid=OTHER), act("withdraw")
OFFERED, ANOTHER = act("offer", to=OTHER), act("offer", to=NEW)
LOST, FOUND = act("lost", reason="left in a taxi"), act("found")
RETIRED, RETURNED = act("retire", reason="broken"), act("return", reason="refunded")
KEY, REVOKED = act("key"), act("revoke-key")


def offered() -> None:
    bound(ME)
    transfers.offer(DEVICE, OTHER)


def offered_at_home() -> None:
    at_home()
    bound(ME, fid="F1")
    transfers.offer(DEVICE, OTHER)


def retired() -> None:
    assert RETIRED.ask().status == 200


def lost() -> None:
    bound(ME)
    assert LOST.ask().status == 200


GIVEN: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "mine": lambda: bound(ME),
    "shared": lambda: (bound(ME), accepted(OTHER, ME)),
    "offered": offered,
    "offered and shared": lambda: (offered(), accepted(OTHER, ME)),
    "offered at home": offered_at_home,
    "offered with a key": lambda: (offered(), device_credentials.issue(DEVICE)),
    "key": lambda: device_credentials.issue(DEVICE),
    "lost": lost,
    "retired": retired,
    "banned": lambda: devices.ban(DEVICE, "stolen"),
}

CASES: dict[str, tuple[str, Callable[[], list[Request]]]] = {
    "two accept": ("offered", lambda: [TAKEN, TAKEN]),
    "accept and unbind": ("offered", lambda: [TAKEN, unbind(ME)]),
    "accept and another accepts a share": ("offered", lambda: [TAKEN, accept(THIRD, ME)]),
    "accept and the same user accepts a share": ("offered", lambda: [TAKEN, accept(OTHER, ME)]),
    "accept and the same user gives a share back": ("offered and shared", lambda: [TAKEN, unbind(OTHER)]),
    "accept and the holder shares": ("offered", lambda: [TAKEN, offer(ME, "2")]),
    "accept and another binds": ("offered", lambda: [TAKEN, bind(THIRD)]),
    "accept and the same user binds": ("offered", lambda: [TAKEN, bind(OTHER)]),
    "accept and the holder renames": ("offered", lambda: [TAKEN, rename(ME, "a")]),
    "accept and a new authKey": ("offered", lambda: [TAKEN, auth_key()]),
    "accept and ban": ("offered", lambda: [TAKEN, BAN]),
    "accept and lost": ("offered", lambda: [TAKEN, LOST]),
    "accept and retire": ("offered", lambda: [TAKEN, RETIRED]),
    "accept and return": ("offered", lambda: [TAKEN, RETURNED]),
    "accept and end": ("offered", lambda: [TAKEN, END]),
    "accept and decline": ("offered", lambda: [TAKEN, DECLINED]),
    "accept and withdraw": ("offered", lambda: [TAKEN, WITHDRAWN]),
    "accept and another offer": ("offered", lambda: [TAKEN, ANOTHER]),
    "accept and the receiver's disabling": ("offered", lambda: [TAKEN, of_user(OTHER, "disable")]),
    "accept and the receiver's move": ("offered", lambda: [TAKEN, moved(OTHER)]),
    "accept and the receiver's blocking": ("offered", lambda: [TAKEN, blocked(OTHER)]),
    "accept and the device's disabling": ("offered", lambda: [TAKEN, act("disable")]),
    "accept and an import": ("offered", lambda: [TAKEN, manufactured(module_type="BC28")()]),
    "accept and a device key": ("offered", lambda: [TAKEN, KEY]),
    "accept and the key's revocation": ("offered with a key", lambda: [TAKEN, REVOKED]),
    "accept in the same family and unbind": ("offered at home", lambda: [AT_HOME, unbind(ME)]),
    "accept in a family and its members change": (
        "offered at home",
        lambda: [AT_HOME, operator("members", "families", "PATCH", "families/F1", {"members": []})],
    ),
    "decline and withdraw": ("offered", lambda: [DECLINED, WITHDRAWN]),
    "decline and unbind": ("offered", lambda: [DECLINED, unbind(ME)]),
    "withdraw and another accepts a share": ("offered", lambda: [WITHDRAWN, accept(THIRD, ME)]),
    "withdraw and lost": ("offered", lambda: [WITHDRAWN, LOST]),
    "two offers": ("mine", lambda: [OFFERED, ANOTHER]),
    "the same offer twice": ("mine", lambda: [OFFERED, OFFERED]),
    "offer and unbind": ("mine", lambda: [OFFERED, unbind(ME)]),
    "offer and the receiver binds": ("mine", lambda: [OFFERED, bind(OTHER)]),
    "offer and the receiver's disabling": ("mine", lambda: [OFFERED, replace(of_user(OTHER, "disable"), forbids=())]),
    "offer and ban": ("mine", lambda: [OFFERED, BAN]),
    "offer and a share": ("mine", lambda: [OFFERED, accept(OTHER, ME)]),
    "lost and bind": ("nothing", lambda: [LOST, bind(ME)]),
    "lost and ban": ("mine", lambda: [LOST, BAN]),
    "lost twice": ("mine", lambda: [LOST, act("lost", reason="again")]),
    "lost and unbind": ("mine", lambda: [LOST, unbind(ME)]),
    "lost and accept a share": ("mine", lambda: [LOST, accept(OTHER, ME)]),
    "found and bind": ("lost", lambda: [FOUND, bind(OTHER)]),
    "found and ban": ("lost", lambda: [FOUND, BAN]),
    "found and unban": ("lost", lambda: [FOUND, UNBAN]),
    "found and lost": ("lost", lambda: [FOUND, LOST]),
    "found and retire": ("lost", lambda: [FOUND, RETIRED]),
    "unban and lost": ("banned", lambda: [UNBAN, LOST]),
    "retire and bind": ("nothing", lambda: [RETIRED, bind(ME)]),
    "retire and another binds": ("mine", lambda: [RETIRED, bind(OTHER)]),
    "retire and unbind": ("mine", lambda: [RETIRED, unbind(ME)]),
    "retire and accept a share": ("mine", lambda: [RETIRED, accept(OTHER, ME)]),
    "retire and give a share back": ("shared", lambda: [RETIRED, unbind(OTHER)]),
    "retire and ban": ("mine", lambda: [RETIRED, BAN]),
    "retire and lost": ("mine", lambda: [RETIRED, LOST]),
    "retire twice": ("mine", lambda: [RETIRED, act("retire", reason="again")]),
    "retire and end": ("mine", lambda: [RETIRED, END]),
    "retire and return": ("mine", lambda: [RETIRED, RETURNED]),
    "return and bind": ("nothing", lambda: [RETURNED, bind(ME)]),
    "return and another binds": ("mine", lambda: [RETURNED, bind(OTHER)]),
    "return of a retired device and bind": ("retired", lambda: [RETURNED, bind(ME)]),
    "return and unbind": ("mine", lambda: [RETURNED, unbind(ME)]),
    "return and accept a share": ("mine", lambda: [RETURNED, accept(OTHER, ME)]),
    "return and ban": ("lost", lambda: [RETURNED, BAN]),
    "return and found": ("lost", lambda: [RETURNED, FOUND]),
    "return twice": ("mine", lambda: [RETURNED, act("return", reason="again")]),
    "return and a device key": ("key", lambda: [RETURNED, KEY]),
    "return with a key and bind": ("key", lambda: [RETURNED, bind(ME)]),
}

OF_OFFERS = ("accept", "decline", "withdraw", "offer", "two accept", "two offers", "the same offer")
"""Cases in exclusive modes only."""


def modes(case: str) -> list[Mode]:
    found = [Mode.UNIQUE, Mode.ROTATING] if case.startswith(OF_OFFERS) else list(Mode)
    return found if FULL else found[-1:]


@pytest.mark.parametrize(("case", "mode"), [(case, mode) for case in CASES for mode in modes(case)])
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = CASES[case]

    def world() -> None:
        World(mode)
        users.create(NEW, "smart", domain="E.DM.1")

    prepared(("ownership", mode), world)
    GIVEN[given]()
    assert schedules.check(asked(), broken) > 1


MULTI = ("retire", "return", "lost")


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(MULTI) and "end" not in case.split()])
def test_every_schedule_with_several_holders_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared(("ownership", Mode.MULTI), lambda: World(Mode.MULTI))
    bound(THIRD)
    GIVEN[given]()
    assert schedules.check(asked(), broken) > 1
