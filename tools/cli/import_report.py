"""Report of an import: counts, errors and failed rows."""

import csv
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len

from tools.cli import output
from tools.cli.client import Exit, Failure
from tools.cli.import_rows import ROW_SIZE, Columns, Row, Table

SHOWN = 10
"""Maximum number of errors printed."""

OUTCOMES = ("created", "changed", "unchanged")
"""Outcomes of valid rows."""


@dataclass
class Counts:
    """Number of rows so far, by outcome."""

    lines: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    errors: int = 0


class ErrorsFile:
    """Errors file, created at the first error."""

    def __init__(self, path: Path, identity: Sequence[str]) -> None:
        self.path = path
        self._identity = identity
        self._file: TextIO | None = None
        self._size = 0
        self._stale = False

    def claim(self, source: int, resumed_size: int | None) -> None:
        """Raise `Failure` if an unrelated file has the path. A resumed import has recorded `resumed_size`."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        if os.path.samestat(found, os.fstat(source)):
            raise Failure(Exit.USAGE, f"{self.path} is the file to import. Use another file for --errors")
        self._stale = stat.S_ISREG(found.st_mode) and (resumed_size is not None or _is_error(self.path))
        if not self._stale and not (stat.S_ISREG(found.st_mode) and found.st_size == 0):
            raise Failure(
                Exit.USAGE, f"{self.path} exists but is not the errors file of an import. Use another file for --errors"
            )
        if resumed_size is not None:
            self._size = min(resumed_size, found.st_size)
            os.truncate(self.path, self._size)

    def write(self, row: Row, problem: str, message: str) -> None:
        """Append an error."""
        if self._file is None:
            # Lone surrogates become JSON escapes.
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
            self._file.truncate(self._size)
        content = row.content or {}
        named = {name: content[name] for name in self._identity if name in content}
        raw = {} if row.raw is None else {"row": row.raw}
        error = {"line": row.line, **named, "problem": problem, "message": message, **raw}
        self._file.write(json.dumps(error, ensure_ascii=False) + "\n")

    def size(self) -> int:
        """Return the file's size in bytes."""
        if self._file is not None:
            self._file.flush()
            self._size = self._file.tell()
        return self._size

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield all errors in row order."""
        with self.path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def delete_stale(self) -> None:
        """Delete an earlier import's file."""
        if self._stale:
            self.path.unlink()


def _is_error(path: Path) -> bool:
    """Return True if a file starts like an errors file."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline(2 * ROW_SIZE))
    except ValueError:
        return False
    return isinstance(first, dict) and {"line", "problem", "message"} <= first.keys()


def save_failed(errors: ErrorsFile, place: Path, form: str, table: Table) -> Path:
    """Write the failed rows to a new file, to fix and import."""
    stem = re.sub(r"\.failed(-\d+)?\Z", "", place.stem)
    for number in count(1):
        path = place.with_name(f"{stem}.failed{'' if number == 1 else f'-{number}'}{place.suffix or '.' + form}")
        if path.exists():
            continue
        with path.open("x", encoding="utf-8", newline="") as made:
            writer = csv.writer(made, delimiter=table.delimiter, lineterminator="\n")
            if form == "csv":
                writer.writerow(table.names)
            for _, same in groupby(errors.lines(), key=lambda error: error["line"]):
                match next(same).get("row"):
                    case list() as cells:
                        writer.writerow(cells)
                    case str() as line:
                        made.write(line + "\n")
        return path
    raise AssertionError


def print_errors(counts: Counts, errors: ErrorsFile, columns: Columns, failed_rows: Path | None) -> None:
    """Print the first errors, grouped by message."""
    shown: dict[str, list[Any]] = {}
    others = unreadable = 0
    for error in errors.lines():
        message = error["message"]
        unreadable += "row" not in error
        if message in shown:
            shown[message][1] += 1
        elif len(shown) < SHOWN:
            name = next((error[name] for name in reversed(columns.identity) if name in error), "-")
            shown[message] = [f"line {error['line']}", 0, name]
        else:
            others += 1
    rows = [
        (f"{line} and {more:,} more", "", message) if more else (line, output.escape(name), message)
        for message, (line, more, name) in shown.items()
    ]
    line_width, name_width = (max(cell_len(row[column]) for row in rows) for column in (0, 1))
    lines = [
        f"{line:{line_width}}  {name:{name_width}}  {message}" if name_width else f"{line:{line_width}}  {message}"
        for line, name, message in rows
    ]
    fix = "" if failed_rows is None else f": {failed_rows} (fix and import that file"
    if failed_rows is not None:
        fix += f"; it does not contain {unreadable:,} unreadable rows)" if unreadable else ")"
    lines = [f"{counts.errors:,} of {counts.lines:,} rows failed{fix}", *(f"  {line}" for line in lines)]
    if others:
        lines.append(f"  and {others:,} more")
    output.note("\n".join([*lines, f"All errors: {errors.path}"]))


def summary(report: Mapping[str, Any]) -> str:
    """Return the report as one line."""
    verb = "would be " if report["dry_run"] else ""
    counts = {**{name: report[name] for name in OUTCOMES}, "failed": report["errors"]}
    listed = ", ".join(f"{count:,} {'' if name == 'failed' else verb}{name}" for name, count in counts.items())
    return f"{report['lines']:,} rows: {listed}"


def failed(report: Mapping[str, Any]) -> bool:
    """Return True if any row failed."""
    return bool(report["errors"])
