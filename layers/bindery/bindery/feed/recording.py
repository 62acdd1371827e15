"""Changes of the tables, recorded and published as events.

Every step can be repeated: a change that is delivered again gives the same events, which are published again with the
same ids.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bindery.aws import clients, dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.expressions import absent
from bindery.core.errors import Reason, Refused
from bindery.feed import bus, chain, changes, device_events, directory_events, listing, people, subscribers
from bindery.feed.chain import Draft
from bindery.feed.changes import Change, Derived, Person
from bindery.http.operation import logger
from bindery.registry import identity, items
from bindery.security import secrets

Record = Mapping[str, Any]

_TEMPORARY = frozenset({Reason.UNAVAILABLE, Reason.CONFLICT})
_PERSONS = frozenset({"user", "customer"})
"""Kinds of holders that have pseudonyms."""
_DIGITS = 32
"""Digits of an event's id."""
_LONGEST = 350_000
"""Characters of a record that fit into an item."""


@dataclass
class _Entry:
    """A record of a batch, and its events once they are in the history."""

    record: Record
    events: list[items.Event] = field(default_factory=list)
    set_aside: bool = False


def record(records: Sequence[Record]) -> dict[str, Any]:
    """Record and publish the events of stream records. Returns the first to repeat, if any, as Lambda expects it."""
    batch = [_Entry(each) for each in records]
    repeated = _first_to_repeat(batch, _record)
    # Also before a record to repeat: Lambda does not deliver earlier ones again.
    repeated = _publish([entry for entry in batch if entry.events]) or repeated
    logger.info(
        "feed.record",
        extra={
            "records": len(batch),
            "events": sum(len(entry.events) for entry in batch),
            "set_aside": sum(entry.set_aside for entry in batch),
            "complete": repeated is None,
        },
    )
    failures = [] if repeated is None else [{"itemIdentifier": repeated.record["dynamodb"]["SequenceNumber"]}]
    return {"batchItemFailures": failures}


def record_one(record: Record) -> list[items.Event]:
    """Record and publish the events of a stream record. Raises what prevents it."""
    entry = _Entry(record)
    _record(entry)
    publish(entry.events)
    return entry.events


def is_temporary(error: Exception) -> bool:
    """Return True if what failed can succeed later."""
    return isinstance(error, Refused) and error.reason in _TEMPORARY


def publish(events: Sequence[items.Event]) -> None:
    """Start the delivery of events to webhooks, and publish them."""
    # In this order: webhooks do not depend on the bus.
    subscribers.wake(events)
    bus.put(events)


def _publish(batch: Sequence[_Entry]) -> _Entry | None:
    """Publish the events of a batch. Return the first entry to repeat."""
    try:
        publish([event for entry in batch for event in entry.events])
    except Exception:
        # One by one, so that only a record at fault is set aside.
        return _first_to_repeat(batch, lambda entry: publish(entry.events))
    return None


def _first_to_repeat(batch: Sequence[_Entry], step: Callable[[_Entry], None]) -> _Entry | None:
    """Take a step with each entry, until one fails that can succeed later. Others that fail are set aside."""
    for entry in batch:
        try:
            step(entry)
        except Exception as error:
            if is_temporary(error) or not _set_aside(entry, error):
                logger.warning("a change is not recorded yet", extra={"event_id": entry.record["eventID"]})
                return entry
    return None


def _set_aside(entry: _Entry, error: Exception) -> bool:
    """Store a record from which no event can be made, so that others need not wait. Return False if not stored."""
    record = entry.record
    logger.exception("a change cannot be recorded", extra={"event_id": record["eventID"]})
    text = json.dumps(record)
    if len(text) > _LONGEST:
        text = json.dumps({**record, "dynamodb": {**record["dynamodb"], "OldImage": {}, "NewImage": {}}})
    unrecorded: items.Unrecorded = {"record": text, "error": clients.code(error), "expires_at": chain.expiry()}
    key, new = items.unrecorded(changes.time_of(record), record["eventID"]), absent().raises(Reason.ALREADY_EXISTS)
    try:
        dynamodb.write(key.put(unrecorded, when=new))
    except Refused as refused:
        if refused.reason is not Reason.ALREADY_EXISTS:
            return False
    entry.set_aside = True
    return True


def _record(entry: _Entry) -> None:
    """Append the events of a record to their chains, unless they are there."""
    found = list(derive(changes.parse(entry.record)))
    acts = {key: dynamodb.get(key) for each in found for key in _endings(each)}
    for each in found:
        entry.events += _append(each, entry.record["eventID"], _ending(each, acts))


def derive(change: Change) -> Iterator[Derived]:
    """Derive events from a change, unless it is of the doctor's records."""
    image = change.new or change.old or {}
    if identity.is_doctors(change.pk) or identity.is_doctors(f"account#{image.get('account', '')}"):
        return iter(())
    match change.table:
        case Table.DEVICES:
            return device_events.of_device(change)
        case Table.DIRECTORY:
            return directory_events.of_record(change)
    if change.pk.startswith("act#"):
        return directory_events.of_act(change)
    return device_events.of_binding(change)


def _endings(derived: Derived) -> list[dynamodb.Key[items.Act]]:
    """Return the keys that the act of an operator who ended a binding or share, or made or ended an offer, can have."""
    return [items.ending(str(derived.chain), ended) for ended in derived.ended]


def _ending(derived: Derived, acts: Mapping[dynamodb.Key[items.Act], items.Act | None]) -> items.Act | None:
    """Return the act of the operator who ended a binding or share."""
    own, binding = [*map(acts.get, _endings(derived)), None, None][:2]
    # Before the binding ended, its user may have given a share back.
    if own is None and binding is not None and derived.ended[0] in binding.get("shares", ()):
        return binding
    return own


def _append(derived: Derived, source: str, act: items.Act | None) -> list[items.Event]:
    device = _device(derived)
    if device is None:
        return chain.append(_draft(derived, source, act))
    listing.enter(listing.scope_of(device))
    return chain.append(
        _draft(derived, source, act),
        lambda last: _before(derived, device, source, last),
        lambda events: listing.writes(device, events),
    )


def _device(derived: Derived) -> str | None:
    """Return the device whose event this is."""
    return derived.chain if isinstance(derived.chain, str) and identity.is_device(derived.chain) else None


def _before(derived: Derived, device: str, source: str, last: items.Event | None) -> Draft | None:
    """Return the event that must come before this one, if the chain does not have it yet.

    A device is registered before anything else happens to it, and deleted before it is registered again. The streams
    of these changes are not ordered with each other.
    """
    begins = last is None or last["type"] == device_events.DELETED
    if derived.type == device_events.REGISTERED:
        deletion = None if begins else _deletion(device)
        return None if deletion is None else _draft(deletion, source, None)
    if not begins:
        return None
    created = derived.since or _creation(device, derived.at, again=last is not None)
    return None if created is None else _draft(device_events.registered(device, created), source, None)


def _creation(device: str, at: int, *, again: bool) -> int | None:
    """Return when the device was created that an event is of, or None if it is not known any more."""
    item = dynamodb.get(items.device(device))
    # The time of a change is in whole seconds.
    if again or item is None or item["created_at"] > at + 999:
        deletion = _deletion(device)
        if deletion is not None:
            return deletion.since
    return None if item is None else item["created_at"]


def _deletion(device: str) -> Derived | None:
    """Return the first deletion of a device that was not recorded."""
    acts = dynamodb.query(items.acts(device), consistent=True)
    found = (device_events.deleted(device, act) for act in acts if act["did"] == "deleted")
    return next((each for each in found if dynamodb.get(items.recorded(_identifier(each))) is None), None)


def _draft(derived: Derived, source: str, act: items.Act | None) -> Draft:
    """Replace persons by pseudonyms, and name the operator who ended a binding or share, and why."""
    at = derived.at
    data: dict[str, Any] = {
        name: _named(value, at) if isinstance(value, Person) else value for name, value in derived.data.items()
    }
    if act is not None:
        data |= {name: act[name] for name in ("cause", "reason") if name in act} | {"operator": act["by"]}
    chained = derived.chain
    return Draft(
        _identifier(derived),
        derived.type,
        at,
        chained if isinstance(chained, str) else identity.join("person", _named(chained, at)["id"]),
        data,
        source,
        frozenset(value["id"] for value in data.values() if isinstance(value, dict) and value["kind"] in _PERSONS),
        data.get("operator"),
    )


def _named(person: Person, at: int) -> dict[str, str]:
    return {"kind": identity.holder_parts(person.holder)[0], "id": people.pseudonym(person.holder, at)}


def _identifier(derived: Derived) -> str:
    """Return an event's id."""
    # An HMAC: with a plain hash, a person could be found by trying uids.
    return secrets.derive("DIRECTORY_SECRET", "event", derived.type, *derived.facts).hex()[:_DIGITS]
