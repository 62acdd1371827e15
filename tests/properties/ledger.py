"""The events that acknowledged requests must have, from the model of the APIs (`tests.properties.model`) alone.

Neither the tables nor Bindery's code is used. A request that was refused has no events. Bindings and connections are
numbered as in the model, because their ids are random.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.http_api import OPERATOR
from tests.properties.model import MODES, PHONES, Ask, Binding, Model

Event = tuple[str, dict[str, Any]]
"""Type and data."""

_DID = {
    "ban": "banned",
    "unban": "unbanned",
    "deactivate": "deactivated",
    "activate": "activated",
    "lost": "lost",
    "found": "found",
    "retire": "retired",
    "return": "returned",
}
_REASONS = {"ban": "stolen", "lost": "left in a taxi", "retire": "broken", "return": "refunded"}
_ENDS = {"decline": "declined", "withdraw": "withdrawn"}


class Ledger:
    """The events of every acknowledged request so far.

    The changes of a device's own items are ordered. Users' entries are in partitions of their own.
    """

    def __init__(self) -> None:
        self.devices: dict[str, list[list[Event]]] = defaultdict(list)
        """By device: the events of each request. A transaction's items have no order among themselves."""
        self.entries: dict[tuple[str, str], list[Event]] = defaultdict(list)
        """By device and user."""
        self.registered: set[str] = set()

    def note(self, ask: Ask, before: Model, after: Model) -> None:
        """Note the events of an acknowledged request."""
        self.registered |= after.entered - before.entered
        found: dict[str, list[Event]] = defaultdict(list)
        for device, event in _all(ask, before, after):
            found[device].append(event)
        for device, events in found.items():
            self.devices[device].append(events)
        binding = after.bindings.get((ask.device, ask.who if MODES.get(ask.device) == "multi" else ""))
        if binding is not None and (kind := _of_entry(ask, before, after)):
            event = kind, {"binding": binding.number, "holder": ("user", ask.who)}
            self.entries[ask.device, ask.who].append(event)

    def of(self, device: str) -> list[list[Event]]:
        """Return a device's own events by request. The first one says that it was registered."""
        groups = self.devices.get(device, [])
        known = groups or device in self.registered or any(named == device for named, _ in self.entries)
        return [[("device.registered", {})], *groups] if known else []


def _of_entry(ask: Ask, before: Model, after: Model) -> str:
    """Return the type of the event of a user's entry, or ""."""
    if ask.what == "quectel_offer":
        return "device.shared"
    place = ask.device, ask.who if MODES.get(ask.device) == "multi" else ""
    renamed = ask.what == "quectel_rename" and before.bindings[place].names != after.bindings[place].names
    return "device.renamed" if renamed else ""


def _all(ask: Ask, before: Model, after: Model) -> Iterator[tuple[str, Event]]:
    if ask.what in ("change", "stock") and _state(before, ask.device) != _state(after, ask.device):
        reason = {"reason": _REASONS[ask.more]} if ask.more in _REASONS else {}
        yield ask.device, (f"device.{_DID[ask.more]}", {"operator": OPERATOR} | reason)
    if ask.what == "transfer" and ask.more != "accept" and before.offered(ask.device) != after.offered(ask.device):
        yield ask.device, _offer(ask, before, after)
    for place in sorted(before.bindings.keys() | after.bindings.keys()):
        old, new = (_lasting(model.bindings.get(place)) for model in (before, after))
        for event in _of_place(ask, place, old, new):
            yield place[0], event
        for caller, number in _connections(old) - _connections(new):
            yield place[0], ("connection.ended", {"connection": (caller, number)})
        for caller, number in _connections(new) - _connections(old):
            opened = {"connection": (caller, number), "user": ("user", caller)}
            yield place[0], ("connection.opened", opened)


def _state(model: Model, device: str) -> Any:
    """Return what an operator's request to ban, deactivate, retire a device … changes."""
    held = {
        (place, found.number)
        for place, found in model.bindings.items()
        if place[0] == device and found.status != "unregistered"
    }
    return device in model.banned, model.kinds.get(device), device in model.inactive, held


def _offer(ask: Ask, before: Model, after: Model) -> Event:
    offered = _binding(ask.device, after.bindings[ask.device, ""]) | {"operator": OPERATOR}
    if ask.more == "offer":
        return "device.offered", offered | {"user": ("user", ask.who)}
    return "device.offer_ended", offered | {"user": ("user", before.offered(ask.device)), "cause": _ENDS[ask.more]}


def _of_place(ask: Ask, place: tuple[str, str], old: Binding | None, new: Binding | None) -> Iterator[Event]:
    """Yield the events of a binding or share that began, ended or changed."""
    if old is not None and new is not None and (old.number, old.shared_by) == (new.number, new.shared_by):
        yield from _changed(place[0], old, new)
        return
    if old is not None:
        yield from _ended(ask, place[0], old, evicted=new is not None)
    if new is not None and new.shared_by is not None:
        yield "device.share_accepted", _share(new.number, new.shared_by, new.holder)
    elif new is not None:
        yield "device.bound", _binding(place[0], new) | {"exclusive": not place[1]}


def _ended(ask: Ask, device: str, old: Binding, *, evicted: bool) -> Iterator[Event]:
    how: dict[str, Any] = {"cause": "ended"}
    unbound: dict[str, Any] = {"cause": "evicted" if evicted else "holder"}
    if ask.what == "force_unbind":
        how = unbound = {"cause": "operator", "operator": OPERATOR, "reason": "lost"}
    elif ask.what == "stock":
        how = unbound = {"cause": _DID[ask.more], "operator": OPERATOR, "reason": _REASONS[ask.more]}
    elif ask.what == "transfer":
        how = unbound = {"cause": "transferred", "operator": OPERATOR}
    if old.shared_by is not None:
        yield "device.share_ended", _share(old.number, old.shared_by, old.holder) | how
        return
    for user in sorted(old.shares):
        yield "device.share_ended", _share(old.number, old.holder, user) | how
    yield "device.unbound", _binding(device, old) | unbound


def _changed(device: str, old: Binding, new: Binding) -> Iterator[Event]:
    for user in sorted(old.shares - new.shares):
        yield "device.share_ended", _share(old.number, old.holder, user) | {"cause": "ended"}
    for user in sorted(new.shares - old.shares):
        yield "device.share_accepted", _share(new.number, new.holder, user)
    if old.nickname != new.nickname:
        yield "device.renamed", _binding(device, new)
    if old.status != new.status:
        yield ("device.blocked" if new.status == "blocked" else "device.unblocked"), _binding(device, new)


def _lasting(found: Binding | None) -> Binding | None:
    return None if found is None or found.status == "unregistered" else found


def _connections(found: Binding | None) -> set[tuple[str, int]]:
    return set() if found is None else set(found.connected.items())


def _share(number: int, sharer: str, user: str) -> dict[str, Any]:
    return {"binding": number, "holder": ("user", sharer), "user": ("user", user)}


def _binding(device: str, found: Binding) -> dict[str, Any]:
    kind = "user" if device in MODES else "customer" if device in PHONES else "account"
    return {"binding": found.number, "holder": (kind, found.holder)}
