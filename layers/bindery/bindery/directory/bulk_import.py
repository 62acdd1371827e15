"""Imports: many records in one request, each row judged by itself and written only where it says something new."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Key, Read, Write
from bindery.http.fields import expected, place

ROW_LIMIT = 500
"""Rows of one import at most."""

_BATCH = 100
"""Records that one round trip reads."""

_WRITERS = 8
"""Writes that run at once: as many as the client has connections for."""


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row (its place in the request, from 0), without the value that is."""

    row: int
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the rows, or with a dry run what would. Those with errors are in none of the three numbers."""

    created: int
    changed: int
    unchanged: int
    errors: list[RowError]


@dataclass(frozen=True, slots=True)
class Need:
    """A record without which a row is an error, and which one."""

    key: Key
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a row comes to: where it stands, what it says, and the write that makes it so, whatever stood there."""

    key: Key
    facts: Item
    write: Write
    needs: Need | None = None


def run(rows: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Record], *, dry_run: bool) -> Report:
    """Import the rows that `read` takes; it raises pydantic's `ValidationError` for one that is not as it must be.

    Of rows that name the same record the first one counts, the others are errors. Costs a consistent read of every
    record (and of what it needs) and a write of every new or changed one, eight at a time: about a second for 500. A
    row that its record says already is not written: an import that broke off (`UNAVAILABLE`, `CONFLICT`, at the first
    write that failed) is sent again as it was.
    """
    records: dict[Key, Record] = {}
    numbers: dict[Key, int] = {}
    errors: list[RowError] = []
    for number, row in enumerate(rows):
        try:
            record = read(row)
        except ValidationError as error:
            errors += [
                RowError(number, found["type"], ": ".join([*place(found), expected(found)]))
                for found in error.errors(include_url=False, include_input=False)
            ]
        else:
            if record.key in records:
                errors.append(RowError(number, "repeated", "An earlier row is for the same record"))
            records.setdefault(record.key, record)
            numbers.setdefault(record.key, number)
    standing = _standing([*records, *{record.needs.key: None for record in records.values() if record.needs}])
    for key, record in list(records.items()):
        if record.needs is not None and standing[record.needs.key] is None:
            errors.append(RowError(numbers[key], record.needs.problem, record.needs.message))
            del records[key]
    created = [record for key, record in records.items() if standing[key] is None]
    changed = [record for key, record in records.items() if not _says(standing[key], record.facts)]
    if not dry_run:
        _write([record.write for record in (*created, *changed)])
    errors.sort(key=lambda error: error.row)
    return Report(len(created), len(changed), len(records) - len(created) - len(changed), errors)


def _write(writes: Sequence[Write]) -> None:
    """All of the writes, or those before the first that failed and some after it."""
    # Each in a context of its own, because who acts stands in the context (`dynamodb.acting`).
    contexts = [copy_context() for _ in writes]
    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(lambda context, write: context.run(dynamodb.write, write), contexts, writes))


def _standing(keys: Sequence[Key]) -> dict[Key, Item | None]:
    found: dict[Key, Item | None] = {}
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        found |= zip(batch, dynamodb.get_many([Read(key) for key in batch]), strict=True)
    return found


def _says(record: Item | None, facts: Item) -> bool:
    """Whether a record has these facts; one that is not there has nothing else."""
    return record is None or all(name in record and record[name] == value for name, value in facts.items())
