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


def required() -> Request:
    """Require claim codes for the product's devices."""
    return operator("codes are required", "products", "PATCH", f"products/{PK}", {"claim_codes": True})


def of_user(uid: str, does: str) -> Request:
    """Disable a user or revoke their tokens."""
    return operator(f"{does} {uid}", "users", "POST", f"users/{uid}/{does}", forbids=("bind",))


def blocked(uid: str) -> Request:
    """Block a user of the device's product."""
    return operator(f"{uid} is blocked", "products", "PUT", f"products/{PK}/barred/{uid}", forbids=("bind",))


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


CASES: dict[str, tuple[str, Callable[[Mode], list[Request]]]] = {
    "one user binds twice": ("nothing", lambda mode: [bind(ME), bind(ME)]),
    "two users bind": ("nothing", lambda mode: [bind(ME), bind(OTHER)]),
    "two users bind another user's device": ("thirds", lambda mode: [bind(ME), bind(OTHER)]),
    "the owner binds again, and another user binds": ("mine", lambda mode: [bind(ME), bind(OTHER)]),
    "two of a family bind": ("at home", lambda mode: [bind(ME, fid="F1"), bind(OTHER, fid="F1")]),
    "two bind into their families": ("at home", lambda mode: [bind(ME, fid="F1"), bind(OTHER, fid="F2")]),
    "two bind a device listed in a family": (
        "mine at home",
        lambda mode: [bind(OTHER, fid="F1"), bind(OTHER, fid="F2", isCommonDevice="false")],
    ),
    "a bind with a claim code and its requirement": ("nothing", lambda mode: [bind(ME, claimCode=CLAIM), required()]),
    "a bind by serial number and the requirement of codes": ("nothing", lambda mode: [bind(ME), required()]),
    "a bind and a ban": ("nothing", lambda mode: [bind(ME), BAN]),
    "a bind and an unban": ("banned", lambda mode: [bind(ME), UNBAN]),
    "a bind and the end of the user's own binding": ("mine", lambda mode: [bind(ME), end(mode)]),
    "a bind and the end of another user's binding": ("others", lambda mode: [bind(ME), end(mode, OTHER)]),
    "a bind and the end of no binding": ("nothing", lambda mode: [bind(ME), end(mode)]),
    "a bind and an end in two families": ("mine at home", lambda mode: [bind(OTHER, fid="F2"), end(mode)]),
    "a bind and an unbind": ("mine", lambda mode: [bind(ME), unbind(ME)]),
    "another's bind and an unbind": ("mine", lambda mode: [bind(OTHER), unbind(ME)]),
    "another's bind and an unbind in a family": ("mine at home", lambda mode: [bind(OTHER, fid="F1"), unbind(ME)]),
    "another's bind and an end in a family": ("mine at home", lambda mode: [bind(OTHER, fid="F1"), end(mode)]),
    "an unbind and an end": ("mine", lambda mode: [unbind(ME), end(mode)]),
    "two unbinds": ("mine", lambda mode: [unbind(ME), unbind(ME)]),
    "an unbind and a ban": ("mine", lambda mode: [unbind(ME), BAN]),
    "an unbind and a rename": ("mine", lambda mode: [unbind(ME), rename(ME, "a")]),
    "a rename and an end": ("mine", lambda mode: [rename(ME, "a"), end(mode)]),
    "a rename and another's bind": ("mine", lambda mode: [rename(ME, "a"), bind(OTHER)]),
    "two renames": ("mine", lambda mode: [rename(ME, "a"), rename(ME, "b")]),
    "two new authKeys": ("mine", lambda mode: [auth_key(), auth_key()]),
    "a new authKey and a look at it": ("mine", lambda mode: [auth_key(), auth_key("get_auth_key")]),
    "a new authKey and a rename": ("mine", lambda mode: [auth_key(), rename(ME, "a")]),
    "a new authKey and an unbind": ("mine", lambda mode: [auth_key(), unbind(ME)]),
    "a new authKey and an end": ("mine", lambda mode: [auth_key(), end(mode)]),
    "a new authKey and another's bind": ("mine", lambda mode: [auth_key(), bind(OTHER)]),
    "a new authKey and a ban": ("mine", lambda mode: [auth_key(), BAN]),
    "a new authKey and an accept": ("mine", lambda mode: [auth_key(), accept(OTHER, ME)]),
    "a new authKey and the tokens' revocation": (
        "mine",
        lambda mode: [auth_key(), replace(of_user(ME, "revoke-tokens"), forbids=())],
    ),
    "a new authKey, an unbind and a bind": ("mine", lambda mode: [auth_key(), unbind(ME), bind(ME)]),
    "an accept and an unbind": ("mine", lambda mode: [accept(OTHER, ME), unbind(ME)]),
    "two accepts": ("mine", lambda mode: [accept(OTHER, ME), accept(THIRD, ME)]),
    "an accept twice": ("mine", lambda mode: [accept(OTHER, ME), accept(OTHER, ME)]),
    "an accept and the recipient's bind": ("mine", lambda mode: [accept(OTHER, ME), bind(OTHER)]),
    "an accept and another's bind": ("mine", lambda mode: [accept(OTHER, ME), bind(THIRD)]),
    "an accept and a ban": ("mine", lambda mode: [accept(OTHER, ME), BAN]),
    "an accept and an end": ("mine", lambda mode: [accept(OTHER, ME), end(mode)]),
    "an accept and a rename": ("mine", lambda mode: [accept(OTHER, ME), rename(ME, "a")]),
    "a share given back and an unbind": ("shared", lambda mode: [unbind(OTHER), unbind(ME)]),
    "a share given back twice": ("shared", lambda mode: [unbind(OTHER), unbind(OTHER)]),
    "a share given back and accepted": ("shared", lambda mode: [unbind(OTHER), accept(OTHER, ME)]),
    "a share given back and an end": ("shared", lambda mode: [unbind(OTHER), end(mode)]),
    "a share given back and another's bind": ("shared", lambda mode: [unbind(OTHER), bind(THIRD)]),
    "a share given back and the recipient's bind": ("shared", lambda mode: [unbind(OTHER), bind(OTHER)]),
    "two offers": ("mine", lambda mode: [offer(ME, "1"), offer(ME, "1")]),
    "an offer that adds, and one that ends the codes": ("mine", lambda mode: [offer(ME, "2"), offer(ME, "1")]),
    "an offer that adds, and one that ends the codes for longer": (
        "mine",
        lambda mode: [offer(ME, "2"), offer(ME, "3")],
    ),
    "an offer for longer, and one that adds": ("mine", lambda mode: [offer(ME, "3"), offer(ME, "2")]),
    "two offers that add": ("mine", lambda mode: [offer(ME, "2"), offer(ME, "2")]),
    "an offer and an accept": ("mine", lambda mode: [offer(ME, "1"), accept(OTHER, ME)]),
    "an offer that adds, one that ends the codes, and an accept": (
        "mine",
        lambda mode: [offer(ME, "2"), offer(ME, "1"), accept(OTHER, ME)],
    ),
    "an accept and the sharer's move": ("mine", lambda mode: [accept(OTHER, ME), moved(ME)]),
    "an accept and the recipient's move": ("mine", lambda mode: [accept(OTHER, ME), moved(OTHER)]),
    "an accept and the sharer's revocation": ("mine", lambda mode: [accept(OTHER, ME), of_user(ME, "revoke-tokens")]),
    "an accept and the sharer's disabling": ("mine", lambda mode: [accept(OTHER, ME), of_user(ME, "disable")]),
    "an accept and the recipient's disabling": ("mine", lambda mode: [accept(OTHER, ME), of_user(OTHER, "disable")]),
    "an accept and the recipient's blocking": ("mine", lambda mode: [accept(OTHER, ME), blocked(OTHER)]),
    "an accept and the device's disabling": ("mine", lambda mode: [accept(OTHER, ME), of_device(DEVICE, "disable")]),
    "an offer and an unbind": ("mine", lambda mode: [offer(ME, "2"), unbind(ME)]),
    "an offer and another's bind": ("mine", lambda mode: [offer(ME, "2"), bind(OTHER)]),
    "an offer and an end": ("mine", lambda mode: [offer(ME, "2"), end(mode)]),
    "two of a family unbind": ("both at home", lambda mode: [unbind(ME), unbind(OTHER)]),
    "a bind, an unbind and a bind": ("mine", lambda mode: [bind(ME), unbind(ME), bind(OTHER)]),
    "an unbind, a bind and an accept": ("mine", lambda mode: [unbind(ME), bind(OTHER), accept(THIRD, ME)]),
    "a ban, a bind and an unban": ("nothing", lambda mode: [BAN, bind(ME), UNBAN]),
    "two ends": ("mine", lambda mode: [end(mode), end(mode)]),
    "an end and a ban": ("mine", lambda mode: [end(mode), BAN]),
    "a ban and an unban": ("banned", lambda mode: [BAN, UNBAN]),
}


LONG = (
    "a new authKey, an unbind and a bind",
    "an unbind, a bind and an accept",
    "a ban, a bind and an unban",
    "an offer that adds, one that ends the codes, and an accept",
)
"""Cases of three requests, with the most schedules. `make test` runs them in one mode only."""


@pytest.mark.parametrize(
    ("case", "mode"),
    [(case, mode) for case in CASES for mode in Mode if FULL or case not in LONG or mode is Mode.UNIQUE],
)
def test_every_schedule_is_equivalent_to_some_order(case: str, mode: Mode, prepared: Any) -> None:
    given, asked = CASES[case]
    prepared(mode, lambda: World(mode))
    GIVEN[given](mode)
    assert schedules.check(asked(mode), broken) > 1
