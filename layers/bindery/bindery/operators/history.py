"""Events of devices, people and operators, oldest first."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage
from bindery.core.errors import Reason, Refused
from bindery.feed import chain, recording
from bindery.http.operation import logger
from bindery.registry import items

RETRIES = 100
"""Maximum number of changes that a request tries to record again."""

_BATCH = 100
_PAGES = 50
_CURSOR = re.compile(r"[0-9]{13}#[0-9a-f]{1,64}#")


class PersonPage(NamedTuple):
    """A page of a person's events."""

    pseudonym: str
    page: CursorPage[items.Event]


class Retried(NamedTuple):
    """Number of changes that were recorded, and of those that still cannot be."""

    recorded: int
    left: int
    cursor: str | None


def of_device(device: str, limit: int, cursor: str | None) -> CursorPage[items.Event]:
    """Return a page of a device's events. Raises `NOT_FOUND` if neither it nor events of it exist."""
    found = dynamodb.page(items.events(device), limit, cursor)
    if not found.items and cursor is None and dynamodb.get(items.device(device)) is None:
        raise Refused(Reason.NOT_FOUND)
    return CursorPage(chain.unexpired(found.items), found.cursor)


def pseudonym(holder: str) -> str | None:
    """Return the pseudonym of a user or customer in events, or None. Not cached: it may just have been erased."""
    found = dynamodb.get(items.person(holder))
    return None if found is None else found.get("pseudonym")


def of_person(holder: str, limit: int, cursor: str | None) -> PersonPage:
    """Return a page of the events that concern a user or customer. Raises `NOT_FOUND` if there are none."""
    person = pseudonym(holder)
    if person is None:
        raise Refused(Reason.NOT_FOUND)
    found = dynamodb.page(items.person_mentions(person), limit, cursor)
    return PersonPage(person, CursorPage(chain.resolve(found.items), found.cursor))


def all_of_person(person: str) -> Iterator[items.Event]:
    """Yield the events that concern a person, given as a pseudonym."""
    cursor = None
    for _ in range(_PAGES):
        found = dynamodb.page(items.person_mentions(person), _BATCH, cursor)
        yield from chain.resolve(found.items)
        cursor = found.cursor
        if cursor is None:
            return


def of_operator(operator: str, since: int, limit: int, cursor: str | None) -> CursorPage[items.Event]:
    """Return a page of what an operator did. Raises `INVALID`."""
    if cursor is not None and _CURSOR.fullmatch(cursor) is None:
        raise Refused(Reason.INVALID)
    parts = [
        dynamodb.page(_from(items.operator_mentions(operator, shard, since), cursor), limit)
        for shard in range(items.SHARDS)
    ]
    found = sorted((mention for part in parts for mention in part.items), key=lambda mention: mention["sk"])
    shown = found[:limit]
    more = len(found) > limit or any(part.cursor is not None for part in parts)
    # The ids at the end have the same length, so this is less than every later key.
    return CursorPage(chain.resolve(shown), f"{shown[-1]['sk']}#" if more else None)


def find(event: str) -> items.Event:
    """Return an event. Raises `NOT_FOUND`."""
    marker = dynamodb.get(items.recorded(event))
    found = [] if marker is None else chain.resolve([marker])
    if not found:
        raise Refused(Reason.NOT_FOUND)
    return found[0]


def unrecorded(limit: int, cursor: str | None) -> CursorPage[dict[str, Any]]:
    """Return a page of the changes from which no event could be made, without their content."""
    found = dynamodb.page(items.all_unrecorded(), limit, cursor)
    return CursorPage([_unrecorded(change) for change in found.items], found.cursor)


def retry(cursor: str | None) -> Retried:
    """Record up to `RETRIES` of these changes, and delete those that were recorded."""
    found = dynamodb.page(items.all_unrecorded(), RETRIES, cursor)
    recorded = sum(_recorded(change) for change in found.items)
    return Retried(recorded, len(found.items) - recorded, found.cursor)


def _recorded(change: items.Unrecorded) -> bool:
    """Record a change and return True, or False if that is not possible. Raises temporary failures."""
    try:
        recording.record_one(json.loads(change["record"]))
    except Exception as error:
        if recording.is_temporary(error):
            raise
        logger.exception("a change could not be recorded", extra={"change": change["sk"]})
        return False
    _, _, identifier = change["sk"].partition("#")
    dynamodb.write(items.unrecorded(int(change["sk"][:13]), identifier).delete())
    return True


def _unrecorded(change: items.Unrecorded) -> dict[str, Any]:
    at, _, identifier = change["sk"].partition("#")
    return {"id": identifier, "at": int(at), "error": change["error"]}


def _from(partition: dynamodb.Partition[items.Reference], cursor: str | None) -> dynamodb.Partition[items.Reference]:
    return partition if cursor is None else partition._replace(start=cursor)
