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


def offered() -> None:
    bound(ME)
    transfers.offer(DEVICE, OTHER)


def offered_at_home() -> None:
    at_home()
    bound(ME, fid="F1")
    transfers.offer(DEVICE, OTHER)


def retired() -> None:
    assert act("retire", reason="broken").ask().status == 200


def lost() -> None:
    bound(ME)
    assert act("lost", reason="left in a taxi").ask().status == 200


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

REQUESTS: dict[str, Callable[[], Request]] = {
    # The user to whom the device is offered accepts it.
    "accept": lambda: replace(act("accept", uid=OTHER), gains="bind"),
    "accept at home": lambda: replace(act("accept", uid=OTHER, fid="F1"), gains="bind"),
    "decline": lambda: act("decline", uid=OTHER),
    "withdraw": lambda: act("withdraw"),
    "offer": lambda: act("offer", to=OTHER),
    "another offer": lambda: act("offer", to=NEW),
    "lost": lambda: act("lost", reason="left in a taxi"),
    "lost again": lambda: act("lost", reason="again"),
    "found": lambda: act("found"),
    "retire": lambda: act("retire", reason="broken"),
    "retire again": lambda: act("retire", reason="again"),
    "return": lambda: act("return", reason="refunded"),
    "return again": lambda: act("return", reason="again"),
    "ban": lambda: BAN,
    "unban": lambda: UNBAN,
    "end": lambda: END,
    "key": lambda: act("key"),
    "revoke the key": lambda: act("revoke-key"),
    "disable the device": lambda: act("disable"),
    "import": manufactured(module_type="BC28"),
    "bind": lambda: bind(ME),
    "receiver's bind": lambda: bind(OTHER),
    "a third's bind": lambda: bind(THIRD),
    "unbind": lambda: unbind(ME),
    "give a share back": lambda: unbind(OTHER),
    "accept a share": lambda: accept(OTHER, ME),
    "a third accepts a share": lambda: accept(THIRD, ME),
    "share": lambda: offer(ME, "2"),
    "rename": lambda: rename(ME, "a"),
    "authKey": auth_key,
    "disable the receiver": lambda: of_user(OTHER, "disable"),
    "move the receiver": lambda: moved(OTHER),
    "block the receiver": lambda: blocked(OTHER),
    "change members": lambda: operator("members", "families", "PATCH", "families/F1", {"members": []}),
}

OFFERS = schedules.cases("""
    offered: accept | accept, unbind, a third accepts a share, accept a share, share, a third's bind, receiver's bind
    offered: accept | rename, authKey, ban, lost, retire, return, end, decline, withdraw, another offer, import, key
    offered: accept | disable the receiver, move the receiver, block the receiver, disable the device
    offered and shared: accept | give a share back
    offered with a key: accept | revoke the key
    offered at home: accept at home | unbind, change members
    offered: decline | withdraw, unbind
    offered: withdraw | a third accepts a share, lost
    mine: offer | another offer, offer, unbind, receiver's bind, disable the receiver, ban, accept a share
""")
"""Cases in exclusive modes only."""

ENDS = schedules.cases("""
    nothing: lost | bind
    mine: lost | ban, lost again, unbind, accept a share
    nothing: retire | bind
    mine: retire | receiver's bind, unbind, accept a share, ban, lost, retire again, return
    shared: retire | give a share back
    nothing: return | bind
    mine: return | receiver's bind, unbind, accept a share, return again
    retired: return | bind
    lost: return | ban, found
    key: return | key, bind
""")

CASES = [
    *OFFERS,
    *ENDS,
    *schedules.cases("""
    lost: found | receiver's bind, ban, unban, lost, retire
    banned: unban | lost
    mine: retire | end
"""),
]


def modes(case: str) -> list[Mode]:
    found = [Mode.UNIQUE, Mode.ROTATING] if case in OFFERS else list(Mode)
    return found if FULL else found[-1:]


@pytest.mark.parametrize(("case", "mode"), [(case, mode) for case in CASES for mode in modes(case)])
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = schedules.parts(case)

    def world() -> None:
        World(mode)
        users.create(NEW, "smart", domain="E.DM.1")

    prepared(("ownership", mode), world)
    GIVEN[given]()
    assert schedules.check([REQUESTS[name]() for name in asked], broken) > 1


@pytest.mark.parametrize("case", ENDS)
def test_every_schedule_with_several_holders_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = schedules.parts(case)
    prepared(("ownership", Mode.MULTI), lambda: World(Mode.MULTI))
    bound(THIRD)
    GIVEN[given]()
    assert schedules.check([REQUESTS[name]() for name in asked], broken) > 1
