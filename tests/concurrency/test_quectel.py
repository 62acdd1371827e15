"""quectel: every schedule of parallel requests is equivalent to some order of the requests."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bindery.directory import users
from bindery.registry import devices
from bindery.registry.bindings import Mode
from tests import quectel
from tests.concurrency import schedules
from tests.concurrency.schedules import Request, of_device, of_operators, operator
from tests.http_api import Response
from tests.invariants import broken
from tests.properties.scale import FULL
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, THIRD, World
from tests.sample_requests import send

pytestmark = pytest.mark.usefixtures("registry")


def bind(uid: str, **parameters: str) -> Request:
    token = quectel.token(uid)
    return Request(f"{uid} binds", lambda: quectel.bind(token, pk=PK, sn=SN, **parameters), gains="bind")


BAN, UNBAN, END = of_operators(DEVICE)
CLAIM = "7K2MX0QHV4"
"""A claim code, but not the device's."""


def bound(uid: str, **parameters: str) -> None:
    quectel.succeeded(quectel.as_user(uid, **parameters))


def at_home() -> None:
    for uid in (ME, OTHER, THIRD):
        users.set_home_mode(uid, True)


def unbind(uid: str) -> Request:
    """Return an unbind request without `bindingSum` in its response: it is read before the write, so it may match no
    order."""
    asked = ask(uid, "unbundling_device_dk", pk=PK, dk=DK)

    def settled() -> Response:
        answer = asked.ask()
        return replace(answer, body=re.sub(r'"bindingSum":\d+', '"bindingSum":0', answer.body))

    return Request(asked.name, settled)


def rename(uid: str, name: str) -> Request:
    return ask(uid, "set_device_info", pk=PK, dk=DK, deviceName=name)


def accept(uid: str, sharer: str) -> Request:
    """Accept a share of the device with a code that was created before."""
    offered = quectel.ask(sharer, "share_info", pk=PK, dk=DK, coverMark="2")
    assert offered.json()["code"] == 200, offered.body
    return replace(ask(uid, "share_device", shareCode=offered.json()["data"]), gains="bind")


def moved(uid: str) -> Request:
    """Move a user to another user domain."""
    body = {"domain": "E.DM.2"}
    return operator(f"{uid} is moved", "users", "PATCH", f"users/{uid}", body, forbids=("bind",))


def of_user(uid: str, does: str) -> Request:
    """Disable a user or revoke their tokens."""
    return operator(f"{does} {uid}", "users", "POST", f"users/{uid}/{does}", forbids=("bind",))


def offer(uid: str, cover: str) -> Request:
    """Create a share code: 1 ends the earlier codes, 2 keeps them valid, 3 ends them if the share is not shorter."""
    asked = ask(uid, "share_info", pk=PK, dk=DK, coverMark=cover)
    return replace(asked, forbids=() if cover == "2" else ("bind",))


def auth_key(name: str = "regenerate_auth_key") -> Request:
    """Show the authKey of the user's binding, or replace it."""
    headers = {"authorization": quectel.token(ME)}
    return Request(name, lambda: send(f"quectel.{name}", headers, body={"pk": PK, "dk": DK}))


def ask(uid: str, name: str, **parameters: str) -> Request:
    token = quectel.token(uid)
    return Request(f"{uid}: {name}", lambda: quectel.call(name, token, parameters))


def accepted(uid: str, sharer: str) -> None:
    answer = accept(uid, sharer).ask()
    assert answer.json()["code"] == 200, answer.body


def end(mode: Mode, uid: str = ME) -> Request:
    """Return a forced unbind; in multi mode, that of `uid`."""
    return of_device(DEVICE, "unbind", query={"uid": uid}, reason="lost") if mode is Mode.MULTI else END


def mine_at_home() -> None:
    at_home()
    bound(ME, fid="F1")


def both_at_home(mode: Mode) -> None:
    mine_at_home()
    if mode is Mode.MULTI:
        bound(OTHER, fid="F1")


GIVEN: dict[str, Callable[[Mode], object]] = {
    "nothing": lambda mode: None,
    "mine": lambda mode: bound(ME),
    "others": lambda mode: bound(OTHER),
    "thirds": lambda mode: bound(THIRD),
    "at home": lambda mode: at_home(),
    "mine at home": lambda mode: mine_at_home(),
    "both at home": both_at_home,
    "shared": lambda mode: (bound(ME), accepted(OTHER, ME)),
    "banned": lambda mode: devices.ban(DEVICE, "stolen"),
}


REQUESTS: dict[str, Callable[[Mode], Request]] = {
    "bind": lambda _: bind(ME),
    "another's bind": lambda _: bind(OTHER),
    "a third's bind": lambda _: bind(THIRD),
    "bind in a family": lambda _: bind(ME, fid="F1"),
    "another's bind in the family": lambda _: bind(OTHER, fid="F1"),
    "another's bind in their family": lambda _: bind(OTHER, fid="F2"),
    "another's private bind": lambda _: bind(OTHER, fid="F2", isCommonDevice="false"),
    "bind by claim code": lambda _: bind(ME, claimCode=CLAIM),
    "require codes": lambda _: operator("require codes", "products", "PATCH", f"products/{PK}", {"claim_codes": True}),
    "ban": lambda _: BAN,
    "unban": lambda _: UNBAN,
    "end": end,
    "another's end": lambda mode: end(mode, OTHER),
    "unbind": lambda _: unbind(ME),
    "another's unbind": lambda _: unbind(OTHER),
    "rename": lambda _: rename(ME, "a"),
    "another name": lambda _: rename(ME, "b"),
    "authKey": lambda _: auth_key(),
    "look": lambda _: auth_key("get_auth_key"),
    "accept": lambda _: accept(OTHER, ME),
    "a third's accept": lambda _: accept(THIRD, ME),
    "offer": lambda _: offer(ME, "1"),
    "added offer": lambda _: offer(ME, "2"),
    "longer offer": lambda _: offer(ME, "3"),
    "revoke": lambda _: of_user(ME, "revoke-tokens"),
    "disable": lambda _: of_user(ME, "disable"),
    "disable another": lambda _: of_user(OTHER, "disable"),
    "disable the device": lambda _: of_device(DEVICE, "disable"),
    "block another": lambda _: operator("block", "products", "PUT", f"products/{PK}/barred/{OTHER}", forbids=("bind",)),
    "move": lambda _: moved(ME),
    "move another": lambda _: moved(OTHER),
}

CASES = schedules.cases("""
    nothing: bind | bind, another's bind, require codes, ban, end
    nothing: bind by claim code | require codes
    nothing: ban | bind + unban
    banned: bind | unban
    banned: ban | unban
    others: bind | another's end
    thirds: bind | another's bind
    at home: bind in a family | another's bind in the family, another's bind in their family
    mine at home: another's bind in the family | another's private bind, unbind, end
    mine at home: another's bind in their family | end
    both at home: unbind | another's unbind
    mine: bind | another's bind, end, unbind, unbind + another's bind
    mine: unbind | another's bind, end, unbind, ban, rename, another's bind + a third's accept
    mine: rename | end, another's bind, another name
    mine: authKey | authKey, look, rename, unbind, end, another's bind, ban, accept, revoke, unbind + bind
    mine: accept | unbind, accept, a third's accept, another's bind, a third's bind, ban, end, rename
    mine: accept | move, move another, revoke, disable, disable another, block another, disable the device
    mine: offer | offer, accept, added offer + accept
    mine: added offer | offer, longer offer, added offer, unbind, another's bind, end
    mine: longer offer | added offer
    mine: end | end, ban
    shared: another's unbind | unbind, another's unbind, accept, end, a third's bind, another's bind
""")


@pytest.mark.parametrize(
    ("case", "mode"),
    # Cases of three requests have the most schedules.
    [(case, mode) for case in CASES for mode in Mode if FULL or case.count(" + ") == 1 or mode is Mode.UNIQUE],
)
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = schedules.parts(case)
    prepared(mode, lambda: World(mode))
    GIVEN[given](mode)
    assert schedules.check([REQUESTS[name](mode) for name in asked], broken) > 1
