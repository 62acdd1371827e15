"""Chains of events in the history: append, read and verify.

Each device has a chain, and so has each account, person, product … that operators change. An event has the hash of
the one before it, so a changed, removed or inserted event shows.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Read, Write
from bindery.aws.expressions import absent, at_most
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items

ATTEMPTS = 10
"""Attempts to append to a chain to which others append at the same time."""

_BATCH = 100
_DAY = 86400


class Draft(NamedTuple):
    """An event without its place in the chain."""

    id: str
    type: str
    at: int
    chain: str
    data: dict[str, Any]
    source: str
    """The stream's id of the change."""
    people: frozenset[str] = frozenset()
    """Pseudonyms of the persons whom it concerns."""
    operator: str | None = None


class Problem(NamedTuple):
    """The first event at which a chain is not intact."""

    seq: int
    what: str


def _nothing(_: items.Event | None) -> None:
    return None


def append(
    draft: Draft,
    first: Callable[[items.Event | None], Draft | None] = _nothing,
    also: Callable[[Sequence[items.Event]], Iterable[Write]] = lambda _: (),
) -> list[items.Event]:
    """Append an event, unless it is in the chain. Return what this change appended, now or earlier.

    The event that `first` returns for the chain's last one comes before it, in the same transaction, as do the writes
    that go with the new events. The items on which these depend are read after the chain's end, so they are as of its
    last event. Raises `CONFLICT` after repeated concurrent writes.
    """
    for _ in range(ATTEMPTS):
        last = dynamodb.last(items.events(draft.chain))
        earlier = first(last)
        drafts = [draft] if earlier is None else [earlier, draft]
        made = _numbered(drafts, last)
        try:
            own = [write for pair in zip(drafts, made, strict=True) for write in _writes(*pair)]
            dynamodb.transact([*own, *also(made)])
        except Refused as refused:
            if refused.reason not in (Reason.ALREADY_EXISTS, Reason.LIMIT_REACHED):
                raise
            # Either this event is in the chain, or another has its place now.
            if refused.reason is Reason.ALREADY_EXISTS:
                if (found := find(draft.id, draft.source)) is not None:
                    return found
                if earlier is not None and dynamodb.get(items.recorded(earlier.id)) is not None:
                    # The event before it is in the chain, but not at its end.
                    first = _nothing
            continue
        return made
    raise Refused(Reason.CONFLICT)


def find(event: str, source: str) -> list[items.Event] | None:
    """Return an event that was appended, and the one before it if it was appended with it. None: not appended.

    If another change appended it, which publishes it, return nothing.
    """
    marker = dynamodb.get(items.recorded(event))
    if marker is None:
        return None
    if marker["source"] != source:
        return []
    first = max(1, marker["seq"] - 1)
    found = read(marker["chain"], first, marker["seq"] - first + 1)
    return [each for each in found if each["id"] == event or _source(each) == source]


def _source(event: items.Event) -> str | None:
    marker = dynamodb.get(items.recorded(event["id"]))
    return None if marker is None else marker["source"]


def read(chain: str, start: int = 0, limit: int = 100) -> list[items.Event]:
    """Return up to `limit` events of a chain from a number on, without expired ones."""
    return unexpired(dynamodb.page(items.events(chain, start), limit).items)


def resolve(references: Iterable[items.Reference]) -> list[items.Event]:
    """Return the events that are referred to, in this order, without expired ones."""
    keys = [items.event(reference["chain"], reference["seq"]) for reference in references]
    found: list[items.Event] = []
    for start in range(0, len(keys), _BATCH):
        part = keys[start : start + _BATCH]
        batch = dynamodb.get_many([Read(key) for key in part])
        found += [event for key in part if (event := batch[key]) is not None]
    return unexpired(found)


def verify(events: Sequence[items.Event]) -> Problem | None:
    """Check successive events of a chain, which need not begin with its first. Return the first problem."""
    before: items.Event | None = None
    for event in events:
        if event["hash"] != digest(event):
            return Problem(event["seq"], "The event was changed: its hash is not that of its content.")
        if before is not None and event["seq"] != before["seq"] + 1:
            return Problem(event["seq"], f"The event before it is number {before['seq']}: events are missing.")
        if not _follows(event, before):
            return Problem(event["seq"], "The event before it was replaced: its hash is another.")
        before = event
    return None


def _follows(event: items.Event, before: items.Event | None) -> bool:
    if before is not None:
        return event["previous"] == before["hash"]
    # Earlier events may have expired.
    return event["seq"] > 1 or event["previous"] == ""


def digest(event: items.Event) -> str:
    """Return the hash of an event's content and the hash before."""
    content = [event["id"], event["type"], event["at"], event["seq"], event["previous"], event["data"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def expiry() -> int:
    """Return when what is recorded now expires."""
    return clock.seconds() + int(env.read("HISTORY_DAYS")) * _DAY


def as_public(event: items.Event) -> dict[str, Any]:
    """Return an event as subscribers and operators see it."""
    return {
        "id": event["id"],
        "type": event["type"],
        "at": event["at"],
        "chain": public_name(event["chain"]),
        "seq": event["seq"],
        "previous": event["previous"],
        "hash": event["hash"],
        "data": event["data"],
    }


def public_name(chain: str) -> str:
    """Return the id of a chain as subscribers and operators see it. A device's is that of the admin API."""
    return identity.opaque(chain)


def _numbered(drafts: Sequence[Draft], last: items.Event | None) -> list[items.Event]:
    """Return events as they follow the last one of their chain."""
    now, made = clock.now(), []
    for draft in drafts:
        last = {
            "id": draft.id,
            "type": draft.type,
            "at": draft.at,
            "seq": 1 if last is None else last["seq"] + 1,
            "previous": "" if last is None else last["hash"],
            "data": draft.data,
            "chain": draft.chain,
            "collection": items.log_shard(clock.iso(now)[:10], items.shard(draft.chain, items.LOG_SHARDS)),
            "time": f"{now:013}#{draft.id}",
            "expires_at": expiry(),
        }
        last["hash"] = digest(last)
        made.append(last)
    return made


def _writes(draft: Draft, made: items.Event) -> list[Put]:
    reference: items.Reference = {"chain": draft.chain, "seq": made["seq"], "expires_at": made["expires_at"]}
    mentions = [items.person_mention(person, draft.at, draft.id) for person in sorted(draft.people)]
    if draft.operator is not None:
        mentions.append(items.operator_mention(draft.operator, draft.chain, draft.at, draft.id))
    # What has expired may still be there, but not all of it.
    new = absent() | at_most("expires_at", clock.seconds())
    return [
        items.recorded(draft.id).put(reference | {"source": draft.source}, when=new.raises(Reason.ALREADY_EXISTS)),
        items.event(draft.chain, made["seq"]).put(made, when=absent().raises(Reason.LIMIT_REACHED)),
        *(mention.put(reference) for mention in mentions),
    ]


def unexpired(events: Iterable[items.Event]) -> list[items.Event]:
    """Return the events that have not expired: DynamoDB deletes them some days later."""
    now = clock.seconds()
    return [event for event in events if event["expires_at"] > now]
