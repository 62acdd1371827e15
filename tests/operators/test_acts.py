"""Operators' acts: each change of the admin API leaves exactly one, in the same transaction; other requests none."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Table
from bindery.connectivity import service_addresses
from bindery.directory import users
from bindery.registry import acts, bindings, devices, identity, items
from bindery.registry.bindings import Mode
from tests import aws_calls, quectel
from tests.concurrency.races import before
from tests.http_api import OPERATOR, Response, admin
from tests.operators.remains import erase
from tests.quectel import DEVICE, ME, OTHER, PK, THIRD, World, as_user, succeeded
from tests.records import ADDRESS, registration
from tests.tables import acts_in, everything, item_at, stored

pytestmark = pytest.mark.usefixtures("registry", "now")

WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")
SECOND = "80:00:00:00:00:00:00:F2"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the operations that write, as they are called."""
    called: list[str] = []
    seen = [*aws_calls.before, lambda service, name, request: called.append(name) if name in WRITES else None]
    monkeypatch.setattr(aws_calls, "before", seen)
    return called


def signed(now: int, **facts: Any) -> Item:
    """Return an act without its key."""
    stamp = {"by": OPERATOR, "at": now, "expires_at": now // 1000 + acts.LIFETIME}
    return {**stamp, **facts, "changed_by": OPERATOR, "changed_at": now}


def without_keys(found: list[Item]) -> list[Item]:
    return [{name: value for name, value in act.items() if name not in ("pk", "sk")} for act in found]


def on_device(method: str, action: str, body: Any = None, **query: str) -> Response:
    return admin("devices", method, f"devices/{identity.opaque(DEVICE)}/{action}", body, query=query)


def concurrently(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Make a change without an operator just before the next transaction."""

    def happen() -> None:
        with dynamodb.acting(None):
            change()

    before(monkeypatch, "TransactWriteItems", happen)


class Change(NamedTuple):
    """A request, the act's facts, the request's setup, and the status of its repetition."""

    request: tuple[Any, ...]
    facts: dict[str, str]
    given: Callable[[], object] = lambda: None
    again: int = 200


def assigned() -> None:
    service_addresses.assign(ADDRESS, DEVICE)


def banned() -> None:
    devices.ban(DEVICE, "stolen")


CHANGES: dict[str, Change] = {
    "ban": Change(("POST", "ban", {"reason": "stolen"}), {"did": "banned", "reason": "stolen"}),
    "unban": Change(("POST", "unban"), {"did": "unbanned"}, banned),
    "unban with an address": Change(("POST", "unban"), {"did": "unbanned"}, lambda: (assigned(), banned())),
    "lost": Change(("POST", "lost", {"reason": "theft"}), {"did": "lost", "reason": "theft"}),
    "found": Change(("POST", "found"), {"did": "found"}, lambda: devices.ban(DEVICE, "theft", kind="lost")),
    "retire": Change(("POST", "retire", {"reason": "old"}), {"did": "retired", "reason": "old"}),
    "return": Change(
        ("POST", "return", {"reason": "new"}),
        {"did": "returned", "reason": "new"},
        lambda: devices.ban(DEVICE, "theft", kind="retired"),
    ),
    "disable": Change(("POST", "disable"), {"did": "disabled"}),
    "enable": Change(("POST", "enable"), {"did": "enabled"}, lambda: devices.set_enabled(DEVICE, False)),
    "deactivate": Change(("POST", "deactivate"), {"did": "deactivated"}),
    "activate": Change(("POST", "activate"), {"did": "activated"}, lambda: devices.deactivate(DEVICE)),
    "assign": Change(
        ("PUT", "address", {"address": ADDRESS}), {"did": "address_assigned", "address": ADDRESS}, again=409
    ),
    "withdraw": Change(("DELETE", "address"), {"did": "address_removed", "address": ADDRESS}, assigned, again=404),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_writes_its_act_once_in_one_transaction(name: str, now: int, written: list[str]) -> None:
    World()
    change = CHANGES[name]
    change.given()
    assert acts_in(everything()) == []
    written.clear()
    assert on_device(*change.request).status == 200
    assert written == ["TransactWriteItems"]
    after = everything()
    (act,) = acts_in(after)
    assert act["pk"] == DEVICE
    assert re.fullmatch(rf"act#{now}-[0-9a-f]{{16}}", act["sk"])
    assert without_keys([act]) == [signed(now, **change.facts)]
    assert on_device(*change.request).status == change.again
    assert everything() == after


SAME: dict[str, Callable[[], object]] = {
    "unban": lambda: devices.unban(DEVICE),
    "unban with an address": lambda: devices.unban(DEVICE),
    "enable": lambda: devices.set_enabled(DEVICE, True),
    "activate": lambda: devices.activate(DEVICE),
    "deactivate": lambda: devices.deactivate(DEVICE),
    "disable": lambda: devices.set_enabled(DEVICE, False),
}
"""The same changes, by code without an operator."""


@pytest.mark.parametrize("name", SAME)
def test_change_that_was_made_concurrently_writes_no_act(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    CHANGES[name].given()
    concurrently(monkeypatch, SAME[name])
    assert on_device(*CHANGES[name].request).status == 200
    assert acts_in(everything()) == []
    assert OPERATOR not in json.dumps(stored(Table.DEVICES))


@pytest.mark.parametrize(("name", "earlier"), [("unban", []), ("unban with an address", [ADDRESS])])
def test_conflicting_change_of_addresses_leaves_no_act(
    name: str, earlier: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    World()
    CHANGES[name].given()
    concurrently(monkeypatch, lambda: service_addresses.assign(SECOND, DEVICE))
    assert on_device(*CHANGES[name].request).status == 503
    assert acts_in(everything()) == []
    assert list(item_at(items.device(DEVICE))["services"]) == [*earlier, SECOND]


def test_each_removed_address_has_its_act(now: int) -> None:
    World()
    for address in (ADDRESS, SECOND):
        service_addresses.assign(address, DEVICE)
    assert on_device("DELETE", "address").status == 200
    removed = [signed(now, did="address_removed", address=address) for address in (ADDRESS, SECOND)]
    assert sorted(without_keys(acts_in(everything())), key=lambda act: act["address"]) == removed


def unbind(device: str, uid: str | None = None) -> None:
    query = {} if uid is None else {"uid": uid}
    path = f"devices/{identity.opaque(device)}/unbind"
    assert admin("devices", "POST", path, {"reason": "lost"}, query=query).status == 200


def endings(device: str, *ids: str) -> list[tuple[str, str]]:
    return [(device, f"act#unbind#{ended}") for ended in ids]


def places(found: list[Item]) -> list[tuple[str, str]]:
    return [(act["pk"], act["sk"]) for act in found]


def test_forced_unbinding_says_who_ended_the_binding_and_why(now: int, written: list[str]) -> None:
    World()
    succeeded(as_user(ME))
    quectel.share(ME, OTHER, now // 1000 + 60)
    binding = item_at(items.owner(DEVICE))["binding"]
    written.clear()
    unbind(DEVICE)
    assert written[0] == "TransactWriteItems"
    ended = acts_in(everything())
    assert places(ended) == endings(DEVICE, binding)
    assert without_keys(ended) == [signed(now, did="ended", reason="lost", cause="operator")]


def test_each_forced_end_in_multi_mode_has_its_act(now: int) -> None:
    World(Mode.MULTI)
    succeeded(as_user(ME))
    quectel.share(ME, OTHER, now // 1000 + 60)
    share, binding = (item_at(items.user_binding(DEVICE, uid)) for uid in (OTHER, ME))
    assert share["binding"] == binding["binding"]
    unbind(DEVICE, OTHER)
    assert places(acts_in(everything())) == endings(DEVICE, share["share"])
    unbind(DEVICE, ME)
    assert sorted(places(acts_in(everything()))) == sorted(endings(DEVICE, share["share"], binding["binding"]))


def test_forced_end_in_multi_mode_names_the_shares_that_end_with_it(now: int) -> None:
    World(Mode.MULTI)
    succeeded(as_user(ME))
    for uid in (OTHER, THIRD):
        quectel.share(ME, uid, now // 1000 + 60)
    given_back, share = (item_at(items.user_binding(DEVICE, uid))["share"] for uid in (OTHER, THIRD))
    assert quectel.ask(OTHER, "unbundling_device_dk", pk=PK, dk=quectel.DK).json()["code"] == 200
    unbind(DEVICE, ME)
    (act,) = without_keys(acts_in(everything()))
    assert act == signed(now, did="ended", reason="lost", cause="operator", shares=[share])
    assert given_back != share


def test_conflicting_forced_unbinding_leaves_no_act(monkeypatch: pytest.MonkeyPatch) -> None:
    device = registration("MIGR00002")
    concurrently(monkeypatch, lambda: dynamodb.write(items.owner(device).update(set={"binding": "b"})))
    path = f"devices/{identity.opaque(device)}/unbind"
    assert admin("devices", "POST", path, {"reason": "lost"}).status == 503
    assert acts_in(everything()) == []


@pytest.mark.parametrize("mode", Mode)
def test_erasure_is_one_act_and_says_why_what_was_held_ended(mode: Mode, now: int) -> None:
    World(mode)
    devices.manufacture(PK, "SN2", device_key="F4A1B2C3D4E2")
    users.change(ME, customer="MIGR00002")
    phone, other = registration("MIGR00002"), identity.manufactured_device(PK, "SN2")
    succeeded(as_user(ME))
    succeeded(as_user(OTHER, sn="SN2"))
    quectel.share(OTHER, ME, now // 1000 + 60, dk="F4A1B2C3D4E2")
    multi = mode == Mode.MULTI
    own = item_at(items.user_binding(DEVICE, ME) if multi else items.owner(DEVICE))["binding"]
    accepted = item_at(items.user_device(ME, PK, "F4A1B2C3D4E2"))
    share = accepted["share"] if multi else bindings.share_id(accepted["binding"], ME)
    registered = item_at(items.registration(phone))["binding"]
    erase(ME)
    *ended, erased = sorted(acts_in(everything()), key=lambda act: act["did"])
    assert without_keys([erased]) == [signed(now, did="erased", person="")]
    assert erased["pk"] == "act#erased"
    expected = [*endings(DEVICE, own), *endings(other, share), *endings(phone, registered)]
    assert sorted(places(ended)) == sorted(expected)
    for act in without_keys(ended):
        assert act == signed(now, did="ended", reason="erased at the request of its user", cause="erased")


def test_erasure_that_could_not_finish_is_no_act(monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    assert admin("privacy", "DELETE", f"privacy/{ME}").json()["removed"]["families"] > 0
    concurrently(monkeypatch, lambda: users.change(ME, email="new@example.com"))
    assert admin("privacy", "DELETE", f"privacy/{ME}").status == 503
    assert acts_in(everything()) == []


def bar(method: str) -> None:
    assert admin("products", method, f"products/{PK}/barred/{ME}").status == 200


def test_lifted_bar_is_an_act_and_repetition_none(now: int, written: list[str]) -> None:
    World()
    bar("DELETE")
    assert acts_in(everything()) == []
    bar("PUT")
    written.clear()
    bar("DELETE")
    assert written == ["TransactWriteItems"]
    after = everything()
    (act,) = acts_in(after)
    assert act["pk"] == f"act#directory#bars#{ME}"
    assert without_keys([act]) == [signed(now, did="deleted", kind="bar", id=PK)]
    bar("DELETE")
    assert everything() == after


def test_lifted_bar_is_exported_and_erased(now: int) -> None:
    World()
    bar("PUT")
    bar("DELETE")
    assert admin("privacy", "GET", f"privacy/{ME}").json()["bars"] == [{"product_key": PK, "lifted_at": now}]
    assert admin("privacy", "DELETE", f"privacy/{ME}").json()["removed"]["bars"] == 1
    erase(ME)
    assert [act["did"] for act in acts_in(everything())] == ["erased"]
    assert ME not in json.dumps(acts_in(everything()))
