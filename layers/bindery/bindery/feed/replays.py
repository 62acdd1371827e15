"""Events that a webhook receives again: those that it did not accept in time, or all since a time."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeVar

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.feed import cursors, subscriptions, webhooks
from bindery.registry import items

_LETTERS = 50
"""Dead letters of a call. Those of one chain fit into a transaction."""
_QUERIES = 32
"""Parts of the log that a call reads."""
_EVENTS = 200
"""Events after which a call reads no other part."""
_CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)/(\d\d)/([0-9a-f#]*!?)")
"""Day and shard of the next part of the log, and where to begin in it."""

Entry = TypeVar("Entry", bound=Mapping[str, Any])


class Replayed(NamedTuple):
    """Number of events that will be delivered again, and the cursor for the others."""

    events: int
    cursor: str | None


def dead_letters(webhook: str) -> Replayed:
    """Deliver the oldest dead letters again, and delete them. Raises `NOT_FOUND`."""
    found = webhooks.show(webhook)
    page = dynamodb.page(items.all_dead(webhook), _LETTERS)
    count = 0
    for chain, letters in _by_chain(page.items):
        deletions = [items.key_of(Table.HISTORY, letter).delete() for letter in letters]
        end = max(letter["expires_at"] for letter in letters)
        numbers = [letter["seq"] for letter in letters]
        count += cursors.want_again(found, chain, numbers, end, letters=deletions)
    return Replayed(count, None if page.cursor is None else "dead")


def since(webhook: str, moment: int, cursor: str | None) -> Replayed:
    """Deliver events that were recorded since a time again. Raises `NOT_FOUND` or `INVALID`."""
    found, count = webhooks.show(webhook), 0
    parts = _parts(moment, cursor)
    for number, (day, shard, start) in enumerate(parts):
        if number >= _QUERIES or count >= _EVENTS:
            return Replayed(count, f"{day}/{shard:02}/{start}")
        page = dynamodb.page(items.log(day.isoformat(), shard, start), _EVENTS)
        wanted = [event for event in page.items if subscriptions.wants_type(found, event["type"])]
        for chain, events in _by_chain(wanted):
            end = max(event["expires_at"] for event in events)
            count += cursors.want_again(found, chain, [event["seq"] for event in events], end)
        if page.cursor is not None:
            # The `!` excludes the last one, which may already have been delivered again.
            return Replayed(count, f"{day}/{shard:02}/{page.items[-1]['time']}!")
    return Replayed(count, None)


def _by_chain(entries: Iterable[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    chains: dict[str, list[Entry]] = {}
    for entry in entries:
        chains.setdefault(entry["chain"], []).append(entry)
    yield from chains.items()


def _parts(moment: int, cursor: str | None) -> Iterator[tuple[date, int, str]]:
    """Yield the parts of the log since a time, each with the sort key at which to begin."""
    first = date.fromisoformat(clock.iso(moment)[:10])
    day, shard, start = first, 0, ""
    if cursor is not None:
        day, shard, start = _place(cursor)
    for days in range((clock.today() - day).days + 1):
        for number in range(shard, items.LOG_SHARDS):
            yield day + timedelta(days), number, start or f"{moment:013}"
            start = ""
        shard = 0


def _place(cursor: str) -> tuple[date, int, str]:
    found = _CURSOR.fullmatch(cursor)
    try:
        if found is None:
            raise ValueError
        return date.fromisoformat(found[1]), int(found[2]), found[3]
    except ValueError:
        raise Refused(Reason.INVALID, at="cursor", detail="not a cursor of a replay") from None
