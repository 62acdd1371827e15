"""Bulk imports: many records in one request, each row checked by itself and written only if it changes something."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Read, Write
from bindery.http.fields import expected, place

ROW_LIMIT = 500
"""Maximum number of rows of one import."""

_BATCH = 100
"""Records read in one round trip."""

_WRITERS = 8
"""Concurrent writes: as many as the client has connections."""


@dataclass(frozen=True, slots=True)
class RowError:
    """An invalid row (by its index in the request, from 0) and why, without the invalid value."""

    row: int
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers of rows created, changed and unchanged (or that a dry run would), and the errors of the others."""

    created: int
    changed: int
    unchanged: int
    errors: list[RowError]


@dataclass(frozen=True, slots=True)
class Need:
    """An item that must exist for a row to be valid, and the error if it does not."""

    key: Key[Any]
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """A valid row: its key, its facts, and the write that stores them over whatever exists."""

    key: Key[Any]
    facts: Mapping[str, Any]
    write: Write
    needs: Need | None = None


def run(rows: Sequence[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], Record], *, dry_run: bool) -> Report:
    """Import rows. `parse` raises pydantic's `ValidationError` for an invalid one.

    The first of several rows for one record counts, the others are errors. Costs a consistent read of every record (and
    of what it needs) and a write of every new or changed one, eight at a time: about a second for 500. Unchanged
    records are not written, so an interrupted import (`UNAVAILABLE`, `CONFLICT`) is resumed by sending it again.
    """
    records, numbers, errors = _parse(rows, parse)
    existing = _read([*records, *{record.needs.key: None for record in records.values() if record.needs}])
    for key, record in list(records.items()):
        if record.needs is not None and existing[record.needs.key] is None:
            errors.append(RowError(numbers[key], record.needs.problem, record.needs.message))
            del records[key]
    created = [record for key, record in records.items() if existing[key] is None]
    changed = [record for key, record in records.items() if _changes(existing[key], record.facts)]
    if not dry_run:
        _write([record.write for record in (*created, *changed)])
    errors.sort(key=lambda error: error.row)
    return Report(len(created), len(changed), len(records) - len(created) - len(changed), errors)


def _parse(
    rows: Sequence[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], Record]
) -> tuple[dict[Key[Any], Record], dict[Key[Any], int], list[RowError]]:
    """Return the valid rows and their numbers by key, and the errors of the others."""
    records: dict[Key[Any], Record] = {}
    numbers: dict[Key[Any], int] = {}
    errors: list[RowError] = []
    for number, row in enumerate(rows):
        try:
            record = parse(row)
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
    return records, numbers, errors


def _write(writes: Sequence[Write]) -> None:
    """Write all; after the first that fails, some of the rest may have been written."""
    # Each in a context of its own, because the actor is in the context (`dynamodb.acting`).
    contexts = [copy_context() for _ in writes]
    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(lambda context, write: context.run(dynamodb.write, write), contexts, writes))


def _read(keys: Sequence[Key[Any]]) -> dict[Key[Any], Mapping[str, Any] | None]:
    existing: dict[Key[Any], Mapping[str, Any] | None] = {}
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        found = dynamodb.get_many([Read(key) for key in batch])
        existing |= {key: found[key] for key in batch}
    return existing


def _changes(record: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> bool:
    """Return True if an existing record lacks one of these facts."""
    return record is not None and not all(name in record and record[name] == value for name, value in facts.items())
