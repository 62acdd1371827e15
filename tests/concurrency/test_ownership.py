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
from tests.concurrency import schedules, test_quectel
from tests.concurrency.schedules import Request, of_device, operator
from tests.concurrency.test_operators import manufactured
from tests.concurrency.test_quectel import accepted, at_home, bound
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

REQUESTS: dict[str, Callable[[Mode], Request]] = {
    **test_quectel.REQUESTS,
    # The user to whom the device is offered accepts it.
    "take": lambda _: replace(act("accept", uid=OTHER), gains="bind"),
    "take home": lambda _: replace(act("accept", uid=OTHER, fid="F1"), gains="bind"),
    "decline": lambda _: act("decline", uid=OTHER),
    "withdraw": lambda _: act("withdraw"),
    "transfer": lambda _: act("offer", to=OTHER),
    "another transfer": lambda _: act("offer", to=NEW),
    "lost": lambda _: act("lost", reason="left in a taxi"),
    "lost again": lambda _: act("lost", reason="again"),
    "found": lambda _: act("found"),
    "retire": lambda _: act("retire", reason="broken"),
    "retire again": lambda _: act("retire", reason="again"),
    "return": lambda _: act("return", reason="refunded"),
    "return again": lambda _: act("return", reason="again"),
    "key": lambda _: act("key"),
    "revoke the key": lambda _: act("revoke-key"),
    "import": lambda _: manufactured(module_type="BC28")(),
    "change members": lambda _: operator("members", "families", "PATCH", "families/F1", {"members": []}),
}

OFFERS = schedules.cases("""
    offered: take | take, unbind, a third's accept, accept, added offer, a third's bind, another's bind, rename, authKey
    offered: take | ban, lost, retire, return, end, decline, withdraw, another transfer, import, key
    offered: take | disable another, move another, block another, disable the device
    offered and shared: take | another's unbind
    offered with a key: take | revoke the key
    offered at home: take home | unbind, change members
    offered: decline | withdraw, unbind
    offered: withdraw | a third's accept, lost
    mine: transfer | another transfer, transfer, unbind, another's bind, disable another, ban, accept
""")
"""Cases in exclusive modes only."""

ENDS = schedules.cases("""
    nothing: lost | bind
    mine: lost | ban, lost again, unbind, accept
    nothing: retire | bind
    mine: retire | another's bind, unbind, accept, ban, lost, retire again, return
    shared: retire | another's unbind
    nothing: return | bind
    mine: return | another's bind, unbind, accept, return again
    retired: return | bind
    lost: return | ban, found
    key: return | key, bind
""")

OTHERS = schedules.cases("""
    lost: found | another's bind, ban, unban, lost, retire
    banned: unban | lost
    mine: retire | end
""")


def modes(case: str) -> list[Mode]:
    found = [Mode.UNIQUE, Mode.ROTATING] if case in OFFERS else list(Mode)
    return found if FULL else found[-1:]


@pytest.mark.parametrize(("case", "mode"), [(case, mode) for case in (*OFFERS, *ENDS, *OTHERS) for mode in modes(case)])
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = schedules.parts(case)

    def world() -> None:
        World(mode)
        users.create(NEW, "smart", domain="E.DM.1")

    prepared(("ownership", mode), world)
    GIVEN[given]()
    assert schedules.check([REQUESTS[name](mode) for name in asked], broken) > 1


@pytest.mark.parametrize("case", ENDS)
def test_every_schedule_with_several_holders_is_equivalent_to_some_order(case: str, prepared: Any) -> None:
    given, asked = schedules.parts(case)
    prepared(("ownership", Mode.MULTI), lambda: World(Mode.MULTI))
    bound(THIRD)
    GIVEN[given]()
    assert schedules.check([REQUESTS[name](Mode.MULTI) for name in asked], broken) > 1
