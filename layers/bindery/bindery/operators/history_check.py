"""Check a device's history: that it is intact, and that the registry is in the state to which it leads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.connectivity import presence
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.feed import chain
from bindery.registry import devices, items

EVENT_LIMIT = 100_000
"""Maximum number of events that a request verifies."""

_BATCH = 1000
_DAY = 86_400_000

_FLAGS = {
    "device.banned": {"banned": True, "lost": False, "retired": False},
    "device.unbanned": {"banned": False},
    "device.lost": {"lost": True},
    "device.found": {"lost": False},
    "device.retired": {"lost": False, "retired": True},
    "device.returned": {"lost": False, "retired": False},
    "device.disabled": {"disabled": True},
    "device.enabled": {"disabled": False},
    "device.deactivated": {"inactive": True},
    "device.activated": {"inactive": False},
    "device.online": {"connected": True},
    "device.offline": {"connected": False},
}
_NOUNS = ("banned", "lost", "retired", "disabled", "inactive", "connected")


@dataclass
class State:
    """Bindings and flags of a device."""

    bindings: set[str] = field(default_factory=set)
    flags: dict[str, bool] = field(default_factory=dict)

    def follow(self, event: items.Event) -> None:
        """Apply an event."""
        # The event may have been tampered with.
        binding = str(event["data"].get("binding"))
        if event["type"] == "device.deleted":
            self.bindings, self.flags = set(), dict.fromkeys(_NOUNS, False)
        elif event["type"] == "device.bound":
            self.bindings.add(binding)
        elif event["type"] == "device.unbound":
            self.bindings.discard(binding)
        elif event["type"] in _FLAGS:
            self.flags |= _FLAGS[event["type"]]


class Verified(NamedTuple):
    """Number of events, that of the first, the first problem, and how the registry differs."""

    events: int
    first: int | None
    problem: chain.Problem | None
    differs: list[str]


def verify(device: str) -> Verified:
    """Verify a device's history. Raises `NOT_FOUND`, and `LIMIT_REACHED` above `EVENT_LIMIT` events."""
    # Read first: a change that is recorded in between would seem to be missing from the registry.
    events, state = 0, State()
    first, last, problem = None, None, None
    for part in _parts(device):
        problem = problem or chain.verify(part if last is None else [last, *part])
        for event in part:
            state.follow(event)
        events, first, last = events + len(part), first or part[0]["seq"], part[-1]
        if events > EVENT_LIMIT:
            raise Refused(Reason.LIMIT_REACHED, detail=f"The device has more than {EVENT_LIMIT} events: export them.")
    record = dynamodb.get(items.device(device))
    if record is None and first is None:
        raise Refused(Reason.NOT_FOUND)
    differs = list(_differences(state, _now(device, record), complete=first == 1))
    if first is None and record is not None and record["created_at"] > _oldest():
        differs.append("The history has no events of the device.")
    return Verified(events, first, problem, differs)


def _parts(device: str) -> Iterator[list[items.Event]]:
    start = 0
    while part := chain.read(device, start, _BATCH):
        yield part
        start = part[-1]["seq"] + 1


def _now(device: str, record: items.Device | None) -> State:
    last = presence.find(device)
    flags = {
        **{kind: kind == _ban(record) for kind in ("banned", "lost", "retired")},
        "disabled": "disabled" in (record or {}),
        "inactive": "inactive" in (record or {}),
        # Also without an end that was noticed.
        "connected": last is not None and "holder" in last,
    }
    holders = dynamodb.query(items.holders(device), consistent=True, round_trips=50)
    return State(set(_bindings(holders)), flags)


def _ban(record: items.Device | None) -> str | None:
    return record.get("ban_kind", "banned") if record is not None and devices.banned(record) else None


def _bindings(found: Iterable[Mapping[str, object]]) -> Iterator[str]:
    for binding in found:
        # A share is not a binding, and a registration that has ended is kept.
        if binding.get("kind") != "share" and binding.get("status") != "unregistered":
            yield str(binding["binding"])


def _differences(history: State, registry: State, *, complete: bool) -> Iterator[str]:
    """Yield the differences. Without the first events, bindings and flags may be older than the history."""
    for binding in sorted(history.bindings - registry.bindings):
        yield f"By the history, binding {binding} lasts. It is not in the registry."
    if complete:
        for binding in sorted(registry.bindings - history.bindings):
            yield f"By the registry, binding {binding} lasts. It is not in the history."
    for name in _NOUNS:
        recorded = history.flags.get(name, False if complete else registry.flags[name])
        if recorded is not registry.flags[name]:
            holder = "history" if recorded else "registry"
            yield f"The device is {name} by the {holder}, but not by the {'registry' if recorded else 'history'}."


def _oldest() -> int:
    return clock.now() - int(env.read("HISTORY_DAYS")) * _DAY


def as_public(found: Verified) -> dict[str, Any]:
    """Return the result for operators."""
    return {
        "events": found.events,
        "first_seq": found.first,
        "problem": None if found.problem is None else found.problem._asdict(),
        "state": {"agrees": not found.differs, "differs": found.differs},
    }
