#!/usr/bin/env python3
"""Check exported events: none was changed, none is missing, and no device ever had two owners at once.

    python3 check_history.py FILE [FILE ...]

One file for Python 3.8 or newer with nothing but the standard library, so that it can be read and run by people who do
not trust Bindery. docs/history.md describes the format of the files and the rules. Exit code 0: no problem was found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Sequence

MEMBERS = {"id": str, "type": str, "at": int, "chain": str, "seq": int, "previous": str, "hash": str, "data": dict}
"""Members of an event, and their types. Others are ignored. The hash covers all but `chain` and itself."""

PAIRS = {
    "device.unbanned": "device.banned",
    "device.found": "device.lost",
    "device.enabled": "device.disabled",
    "device.activated": "device.deactivated",
}
"""Events that end a state, and those that begin it. They alternate."""

NOT_LOST = ("device.banned", "device.retired", "device.returned")
"""Events after which a device is not lost, although it was not found."""

OF_A_BINDING = ("device.share_accepted", "device.blocked", "device.unblocked", "device.online")
"""Events that are recorded while their binding lasts.

`device.renamed` and `device.shared` are not among them: the change is in the holder's partition, of which the stream is
not ordered with that of the device. `device.offline` can follow the end of the binding that disconnected the device. If
several users can hold a device, each share has an item of its own, which may end after the binding.
"""


class Event(NamedTuple):
    """An event and the line that it is in."""

    file: str
    line: int
    chain: str
    content: dict[str, Any]

    @property
    def seq(self) -> int:
        """Number in the chain."""
        return int(self.content["seq"])


class Problem(NamedTuple):
    """A violated rule, and the event that shows it."""

    event: Event
    what: str

    def __str__(self) -> str:
        event = self.event
        place = f", chain {event.chain}, seq {event.seq}" if event.chain else ""
        return f"{event.file}, line {event.line}{place}: {self.what}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files and print the problems."""
    parser = argparse.ArgumentParser(description="Check exported events of Bindery. Exit code 0: no problem was found.")
    parser.add_argument("file", nargs="+", help="file written by `bindery history export`; - for standard input")
    chains = Chains()
    problems: list[Problem] = []
    try:
        for name in parser.parse_args(arguments).file:
            problems += read(chains, name)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"check_history: {error}\n")
        return 2
    problems += chains.check()
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    found = f"{len(problems):,} problems" if problems else "no problem"
    sys.stdout.write(f"{chains.count:,} events in {len(chains.events):,} chains: {found} found\n")
    return 1 if problems else 0


def read(chains: Chains, name: str) -> list[Problem]:
    """Add the events of a file. Raises `OSError` and `UnicodeDecodeError`."""
    with open(0 if name == "-" else name, encoding="utf-8") as file:
        return list(chains.read(name, file))


class Chains:
    """The events of all files, by chain and number."""

    def __init__(self) -> None:
        self.events: dict[str, dict[int, Event]] = {}
        self.count = 0
        self._places: dict[str, tuple[str, int]] = {}

    def read(self, name: str, lines: Iterable[str]) -> Iterator[Problem]:
        """Add the events of a file. Yield those that were changed, or that contradict others."""
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                event = parse(name, number, line)
            except ValueError as error:
                yield Problem(Event(name, number, "", {"seq": 0}), str(error))
                continue
            if digest(event.content) != event.content["hash"]:
                yield Problem(event, "the event was changed: it does not have its hash")
            if event.content["data"].get("device", event.chain) != event.chain:
                yield Problem(event, "the event is of another device than its chain")
            yield from self._add(event)

    def _add(self, event: Event) -> Iterator[Problem]:
        chain = self.events.setdefault(event.chain, {})
        known = chain.setdefault(event.seq, event)
        place = self._places.setdefault(event.content["id"], (event.chain, event.seq))
        if known is event:
            self.count += 1
        elif known.content["hash"] != event.content["hash"] or known.content["id"] != event.content["id"]:
            yield Problem(event, f"another event has this number ({known.file}, line {known.line})")
        if place != (event.chain, event.seq):
            yield Problem(event, f"the event is also {place[0]}, seq {place[1]}")

    def check(self) -> Iterator[Problem]:
        """Yield the problems of every chain."""
        for chain in sorted(self.events):
            events = [event for _, event in sorted(self.events[chain].items())]
            device = Device()
            last = None
            for event in events:
                broken = link(last, event)
                if broken:
                    yield Problem(event, broken)
                    # What happened in between is unknown.
                    device = Device()
                yield from (Problem(event, what) for what in device.follow(event.content))
                last = event


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, without repeated members, of which only one would be checked."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a member twice")
    return found


def parse(file: str, number: int, line: str) -> Event:
    """Return the event of a line. Raises `ValueError`."""
    try:
        content = json.loads(line, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("not an event") from None
    if not isinstance(content, dict):
        raise ValueError("not an event")
    for member, kind in MEMBERS.items():
        if type(content.get(member)) is not kind:
            raise ValueError(f"not an event: {member} is missing or not of type {kind.__name__}")
    return Event(file, number, content["chain"], content)


def digest(event: dict[str, Any]) -> str:
    """Return the hash that an event must have."""
    covered = [event[member] for member in ("id", "type", "at", "seq", "previous", "data")]
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def link(last: Event | None, event: Event) -> str:
    """Return why an event does not follow the last, or "". A chain may begin at any number, because events expire."""
    previous = event.content["previous"]
    if last is None:
        return "the first event of a chain has a previous one" if event.seq <= 1 and previous else ""
    missing = event.seq - last.seq - 1
    if missing > 0:
        return f"{missing} events before this one are missing"
    return "" if previous == last.content["hash"] else "previous is not the hash of the event before"


class Binding:
    """A binding that lasts, and the users with a share of the device under it."""

    def __init__(self, holder: str, exclusive: bool) -> None:
        self.holder = holder
        self.exclusive = exclusive
        self.shares: set[str] = set()
        self.unnamed = 0
        """Number of shares that ended with the erasure of a user, who was already nameless."""


class Device:
    """State of a device after an event, as far as it follows from the events checked so far.

    A binding or connection may have begun before the first of them, but not once an exclusive binding began among them:
    then all that last are known.
    """

    def __init__(self) -> None:
        self.bindings: dict[str, Binding] = {}
        self.ended: dict[str, Binding | None] = {}
        """None: the binding began before the first event."""
        self.known_holders: set[str] = set()
        self.all_known = False
        self.registered = False
        self.connections: dict[str, bool] = {}
        self.states: dict[str, bool] = {}
        self._rules: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
            "device.bound": self._bound,
            "device.unbound": self._unbound,
            "device.share_accepted": self._share_accepted,
            "device.share_ended": self._share_ended,
            "connection.opened": self._opened,
            "connection.ended": self._closed,
        }

    def follow(self, event: dict[str, Any]) -> Iterator[str]:
        """Apply an event. Yield the rules that it violates."""
        kind, data = event["type"], event["data"]
        if kind == "device.registered":
            if self.registered:
                yield "the device was registered before"
            self.registered = True
        if kind == "device.deleted":
            for binding, lasting in self.bindings.items():
                yield f"the device is deleted while {lasting.holder} holds it by binding {binding}"
            self.registered, self.states = False, {}
        begun = PAIRS.get(kind, kind)
        if kind in PAIRS or kind in PAIRS.values():
            now = kind == begun
            if self.states.get(begun) is now:
                yield f"{kind} follows another, without {_other(kind)} between them"
            self.states[begun] = now
        if kind in NOT_LOST and self.states.get("device.lost"):
            self.states["device.lost"] = False
        if kind in OF_A_BINDING and data.get("binding") is not None:
            yield from self._lasts(data["binding"])
        if kind in self._rules:
            try:
                yield from self._rules[kind](data)
            except (KeyError, TypeError) as error:
                yield f"data of {kind} is incomplete or malformed: {error}"

    def _lasts(self, binding: str) -> Iterator[str]:
        if binding in self.ended:
            yield f"binding {binding} has ended"
        elif binding not in self.bindings and self.all_known:
            yield f"binding {binding} has not begun"

    def _bound(self, data: dict[str, Any]) -> Iterator[str]:
        binding, holder, exclusive = data["binding"], name_of(data["holder"]), data["exclusive"]
        if binding in self.ended or binding in self.bindings:
            yield f"binding {binding} begins a second time"
        for other, lasting in self.bindings.items():
            if exclusive or lasting.exclusive:
                yield f"two owners: binding {other} of {lasting.holder} has not ended"
            elif lasting.holder == holder:
                yield f"two bindings of one holder: {other} has not ended"
        self.bindings[binding] = Binding(holder, exclusive)
        self.all_known = self.all_known or exclusive
        self.known_holders.add(holder)

    def _unbound(self, data: dict[str, Any]) -> Iterator[str]:
        binding, holder = data["binding"], name_of(data["holder"])
        lasting = self.bindings.pop(binding, None)
        if binding in self.ended:
            yield f"binding {binding} ends a second time"
        elif lasting is None and (self.all_known or holder in self.known_holders):
            yield f"two owners: binding {binding} of {holder} had not ended when another began"
        elif lasting is not None and lasting.holder != holder and not is_erased(data):
            yield f"binding {binding} was that of {lasting.holder}, not of {holder}"
        elif lasting is not None and lasting.exclusive and len(lasting.shares) > lasting.unnamed:
            yield f"binding {binding} ends before its share with {', '.join(sorted(lasting.shares))}"
        self.ended[binding] = lasting

    def _share_accepted(self, data: dict[str, Any]) -> Iterator[str]:
        user, lasting = name_of(data["user"]), self.bindings.get(data["binding"])
        if lasting is not None:
            if user in lasting.shares:
                yield f"the share with {user} has not ended"
            lasting.shares.add(user)

    def _share_ended(self, data: dict[str, Any]) -> Iterator[str]:
        binding, user = data["binding"], name_of(data["user"])
        of = self.ended.get(binding) or self.bindings.get(binding)
        if of is None:
            # Unless the binding began before the first event.
            yield from () if binding in self.ended else self._lasts(binding)
        elif user in of.shares:
            of.shares.discard(user)
        elif is_erased(data) and len(of.shares) > of.unnamed:
            of.unnamed += 1
        else:
            yield f"there is no share with {user}"

    def _opened(self, data: dict[str, Any]) -> Iterator[str]:
        if data["connection"] in self.connections:
            yield f"connection {data['connection']} begins a second time"
        self.connections[data["connection"]] = True

    def _closed(self, data: dict[str, Any]) -> Iterator[str]:
        if self.connections.get(data["connection"]) is False:
            yield f"connection {data['connection']} ends a second time"
        self.connections[data["connection"]] = False


def is_erased(data: dict[str, Any]) -> bool:
    """Return True for an end by an erasure. If it was recorded late, the person already has another pseudonym."""
    return data.get("cause") == "erased"


def _other(kind: str) -> str:
    begun = {end: begin for begin, end in PAIRS.items()}
    return PAIRS.get(kind) or begun[kind]


def name_of(holder: dict[str, str]) -> str:
    """Return a holder as text."""
    return f"{holder['kind']} {holder['id']}"


if __name__ == "__main__":
    sys.exit(main())
