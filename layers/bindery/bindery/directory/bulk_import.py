"""Bulk imports. Rows are checked separately, and written only if they change something."""

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

_BATCH = 100

_WRITERS = 8
"""As many as the client has connections."""


@dataclass(frozen=True, slots=True)
class RowError:
    """An invalid row (by its index, from 0) and why, without the invalid value."""

    row: int
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers of rows created, changed and unchanged, and the errors of the others."""

    created: int
    changed: int
    unchanged: int
    errors: list[RowError]


@dataclass(frozen=True, slots=True)
class Need:
    """An item that must exist and not be in deletion, and the error if not."""

    key: Key[Any]
    problem: str
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """A valid row and its write."""

    key: Key[Any]
    facts: Mapping[str, Any]
    write: Write
    needs: Need | None = None


def run(rows: Sequence[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], Record], *, dry_run: bool) -> Report:
    """Import rows. `parse` raises `ValidationError`.

    Only the first row for a record counts. An import interrupted by `UNAVAILABLE` or `CONFLICT` can be sent again.
    """
    records, numbers, errors = _parse(rows, parse)
    existing = _read([*records, *{record.needs.key: None for record in records.values() if record.needs}])
    for key, record in list(records.items()):
        if record.needs is not None and not _is_open(existing[record.needs.key]):
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


def _is_open(needed: Mapping[str, Any] | None) -> bool:
    return needed is not None and "deleting_at" not in needed


def _changes(record: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> bool:
    return record is not None and not all(name in record and record[name] == value for name, value in facts.items())
