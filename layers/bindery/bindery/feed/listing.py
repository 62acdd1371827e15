"""Lists and counts of devices, kept in the transactions that append to devices' chains.

So they are exact as of the last recorded event, and cost requests nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import cast

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Put, Update
from bindery.core import clock
from bindery.feed import chain
from bindery.registry import identity, items
from bindery.registry.items import Listing, State

_PAGES = 50
_GONE: Listing = {"states": {}}

_ENTERS: Mapping[str, tuple[State, ...]] = MappingProxyType(
    {
        "device.online": ("online",),
        "device.banned": ("banned",),
        "device.disabled": ("disabled",),
        "device.deactivated": ("inactive",),
        "device.lost": ("lost",),
        "device.retired": ("retired",),
    }
)
"""States that a device enters, by the type of the event."""

_LEAVES: Mapping[str, tuple[State, ...]] = MappingProxyType(
    {
        "device.offline": ("online",),
        # Of these three states, a device is in one.
        "device.banned": ("lost", "retired"),
        "device.retired": ("lost",),
        "device.unbanned": ("banned",),
        "device.enabled": ("disabled",),
        "device.activated": ("inactive",),
        "device.found": ("lost",),
        "device.returned": ("lost", "retired"),
    }
)
"""States that a device leaves."""

_EXCLUSIVE: frozenset[State] = frozenset({"bound", "unbound", "never_seen"})
"""A device is in exactly one of these."""

_BINDINGS: Mapping[str, int] = MappingProxyType({"device.bound": 1, "device.unbound": -1})

_REGISTERED, _DELETED = "device.registered", "device.deleted"

TYPES = frozenset({*_ENTERS, *_LEAVES, *_BINDINGS, _REGISTERED, _DELETED})
"""Types of events that change lists."""


def scope_of(device: str) -> str:
    """Return a device's scope: its product (quectel), account (rufus), or API."""
    parts = identity.parts(device)
    for name, kind in (("product_key", "product"), ("account", "account")):
        if name in parts:
            return identity.join(kind, parts[name])
    return identity.join("api", parts["dialect"])


@cache
def enter(scope: str) -> None:
    """Enter a scope in the list of scopes."""
    # Not in the transactions, which would exclude each other. It is never deleted, so once per process is enough.
    empty: items.Scope = {}
    dynamodb.write(items.scope(scope).put(empty))


def writes(device: str, events: Sequence[items.Event]) -> Iterator[Put | Update | Delete]:
    """Yield the changes of the lists that go with new events of a device's chain."""
    if not any(event["type"] in TYPES for event in events):
        return
    key = items.listing(device)
    stored = dynamodb.get(key)
    after = stored or _from_chain(device, events[0]["seq"])
    for event in events:
        after = _following(device, after, event)
    yield key.delete() if after is _GONE else key.put(after)
    yield from _entries(device, stored or _GONE, after)
    yield from _counts(device, stored or _GONE, after, events)


def _from_chain(device: str, end: int) -> Listing:
    """Return the listing that earlier events give: they may have been recorded before there were lists."""
    found = _GONE
    if end > 1:
        for event in dynamodb.query(items.events(device), consistent=True, round_trips=_PAGES):
            found = _following(device, found, event)
    return found


def _following(device: str, listing: Listing, event: items.Event) -> Listing:
    """Return the listing after an event."""
    kind, at = event["type"], event["at"]
    if kind == _DELETED:
        return _GONE
    if listing is _GONE:
        record = dynamodb.get(items.device(device))
        if record is None and kind != _REGISTERED:
            # It was deleted, and this event of its is recorded late.
            return _GONE
        listing = _new(device, at, record)
    bindings = max(0, listing["bindings"] + _BINDINGS.get(kind, 0))
    held: State = "bound" if bindings else "unbound"
    if held == "unbound" and "never_seen" in listing["states"] and kind != "device.online":
        held = "never_seen"
    left = {*_LEAVES.get(kind, ()), *_EXCLUSIVE} - {held}
    states = {state: since for state, since in listing["states"].items() if state not in left}
    return {**listing, "bindings": bindings, "states": dict.fromkeys((*_ENTERS.get(kind, ()), held), at) | states}


def _new(device: str, at: int, record: items.Device | None) -> Listing:
    made: Listing = {
        "scope": scope_of(device),
        "listed_at": at,
        "bindings": 0,
        "states": {"never_seen": at},
    }
    return made if record is None or "serial" not in record else {**made, "serial": record["serial"]}


def _entries(device: str, before: Listing, after: Listing) -> Iterator[Put | Delete]:
    old, new = set(_placed(device, before)), set(_placed(device, after))
    yield from (key.delete() for key in sorted(old - new))
    entry: items.ListEntry = {"device": device}
    yield from (key.put(entry) for key in sorted(new - old))


def _placed(device: str, listing: Listing) -> Iterator[dynamodb.Key[items.ListEntry]]:
    """Yield the keys of a device's entries."""
    if listing is _GONE:
        return
    yield items.list_entry(listing["scope"], None, listing["listed_at"], device)
    for state, since in listing["states"].items():
        yield items.list_entry(listing["scope"], state, since, device)
    if "serial" in listing:
        yield items.serial_entry(listing["serial"], device)


def _counts(device: str, before: Listing, after: Listing, events: Sequence[items.Event]) -> Iterator[Update]:
    scope, part = scope_of(device), items.shard(device, items.COUNT_SHARDS)
    old, new = _counted(before), _counted(after)
    changed = {name: (name in new) - (name in old) for name in sorted(old ^ new)}
    if changed:
        last: items.Counts = {"last_change": events[-1]["at"]}
        yield items.counts(scope, part).update(set=last, add=cast("items.Counts", changed))
    kept: items.DayCounts = {"expires_at": chain.expiry()}
    for day, number in _days(events).items():
        yield items.day_counts(scope, part, day).update(set=kept, add=cast("items.DayCounts", number))


def _days(events: Sequence[items.Event]) -> Mapping[str, Counter[str]]:
    """Return the numbers of bindings that began and ended, by day."""
    days: dict[str, Counter[str]] = {}
    for event in events:
        if event["type"] in _BINDINGS:
            day = days.setdefault(clock.iso(event["at"])[:10], Counter())
            day["began" if _BINDINGS[event["type"]] > 0 else "ended"] += 1
    return days


def _counted(listing: Listing) -> set[str]:
    return set() if listing is _GONE else {"all", *listing["states"]}
