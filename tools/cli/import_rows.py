"""Read the rows of a CSV or NDJSON file, and detect damage by spreadsheets."""

import csv
import hashlib
import json
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TextIO

from tools.cli.client import Exit, Failure

ROW_SIZE = 64 * 1024
"""Maximum number of characters per row."""


@dataclass(frozen=True)
class Columns:
    """Members of a row.

    `cells` converts CSV cells that are not plain text. No two rows may share `identity` members, or `alike` values
    (`alike_name` in messages).
    """

    required: Sequence[str]
    optional: Sequence[str]
    cells: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    identity: Sequence[str] = ()
    alike: Callable[[Mapping[str, Any]], Sequence[Any] | None] = lambda row: None
    alike_name: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file. `raw` is its text or its cells."""

    line: int
    size: int
    content: dict[str, Any] | None = None
    problem: str | None = None
    message: str = ""
    raw: Any = None


Rows = Generator[Row, None, None]


@dataclass
class Table:
    """A file's rows and columns. `empty` counts the empty rows skipped so far."""

    rows: Rows = field(init=False)
    names: Sequence[str] = ()
    delimiter: str = ","
    empty: int = 0


def read(text: TextIO, file: Path, form: str, columns: Columns) -> Table:
    """Return the rows of a `csv` or `ndjson` file. Raises `Failure` if its header line is invalid."""
    table = _csv(text, file, columns) if form == "csv" else _ndjson(text, columns)
    table.rows = _unrepeated(table.rows, columns)
    return table


def _unrepeated(rows: Rows, columns: Columns) -> Rows:
    """Yield the rows, with a problem set on each that repeats an earlier one."""
    # An unnamed SQLite database is a temporary file, so the number of rows is not limited by memory.
    with closing(sqlite3.connect("")) as seen:
        seen.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")

        def earlier(row: Row, what: str, values: Sequence[Any] | None) -> int | None:
            if not values or not all(isinstance(value, str) and value.strip() for value in values):
                return None
            text = json.dumps([what, *(unicodedata.normalize("NFC", value.strip()) for value in values)])
            key = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, row.line)).rowcount:
                return None
            ((line,),) = seen.execute("SELECT line FROM seen WHERE key = ?", (key,))
            return int(line)

        for row in rows:
            if row.problem is None and row.content is not None:
                content = row.content
                if line := earlier(row, "identity", [content.get(name) for name in columns.identity]):
                    row = replace(row, problem="repeated", message=f"repeats line {line}")
                elif line := earlier(row, "alike", columns.alike(content)):
                    row = replace(
                        row, problem="repeated", message=f"{columns.alike_name} is the same as in line {line}"
                    )
            yield row


_SPREADSHEET = (
    (re.compile(r'=".*"', re.DOTALL), "formula", "a spreadsheet formula"),
    (re.compile(r"[+-]?\d+([.,]\d+)?E[+-]\d+", re.IGNORECASE), "number", "a number shortened by a spreadsheet"),
)
"""Identifiers as spreadsheets change them."""


def _csv(text: TextIO, file: Path, columns: Columns) -> Table:
    known = [*columns.required, *columns.optional]
    header = text.readline()
    # Excel uses semicolons in locales whose decimal separator is a comma.
    delimiter = max(",;\t", key=lambda each: sum(name.strip(' "\r\n') in known for name in header.split(each)))
    reader = csv.reader(chain([header], text), strict=True, delimiter=delimiter)
    table = Table(names=_names(reader, file, columns), delimiter=delimiter)

    def rows() -> Rows:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                upto = f", up to line {reader.line_num}" if reader.line_num > line else ""
                yield Row(line, 0, problem="unreadable", message=f"invalid CSV{upto}: {error}")
                continue
            if any(cell.strip() for cell in cells):
                yield _csv_row(line, cells, table.names, columns)
            elif cells:
                table.empty += 1

    table.rows = rows()
    return table


def _names(reader: Iterator[list[str]], file: Path, columns: Columns) -> list[str]:
    """Return the column names of the header line. Raises `Failure` if they are invalid."""
    known = [*columns.required, *columns.optional]
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        refuse(file, f"the header line cannot be read ({error})")
    if not any(names):
        refuse(file, "the file has no header line")
    if unknown := [name for name in names if name not in known]:
        refuse(file, f"unknown columns {', '.join(map(repr, unknown))}. Known columns: {', '.join(known)}")
    if missing := [name for name in columns.required if name not in names]:
        refuse(file, f"the header line lacks {', '.join(missing)}")
    if len(set(names)) < len(names):
        refuse(file, "the header line has duplicate columns")
    return names


def _csv_row(line: int, cells: list[str], names: Sequence[str], columns: Columns) -> Row:
    size = sum(map(len, cells))
    if problem := _unreadable("".join(cells)):
        return Row(line, size, problem="unreadable", message=problem)
    content = {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}
    if len(cells) != len(names):
        message = f"{len(cells)} cells, but the header line has {len(names)}"
        return Row(line, size, content, "unreadable", message, cells)
    for name, cell in content.items():
        for pattern, problem, what in _SPREADSHEET:
            if pattern.fullmatch(cell.strip()):
                message = f"{name} {cell!r}: {what}. Format the column as text and export the file again"
                return Row(line, size, content, problem, message, cells)
    read = {name: columns.cells[name](cell) for name, cell in content.items() if name in columns.cells}
    return Row(line, size, content | read, raw=cells)


def _ndjson(text: TextIO, columns: Columns) -> Table:
    known = [*columns.required, *columns.optional]

    def row(number: int, line: str) -> Row:
        message = _unreadable(line)
        if message is not None:
            return Row(number, len(line), problem="unreadable", message=message)
        raw = line.rstrip("\r\n")
        try:
            content = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            return Row(number, len(line), None, "unreadable", f"invalid JSON: {error}", raw)
        if not isinstance(content, dict):
            return Row(number, len(line), None, "unreadable", "not a JSON object", raw)
        if unknown := [name for name in content if name not in known]:
            # The API does not return the names of unknown members.
            message = f"unknown members {', '.join(map(repr, unknown))}. Known members: {', '.join(known)}"
            return Row(number, len(line), content, "unreadable", message, raw)
        return Row(number, len(line), content, raw=raw)

    table = Table()
    table.rows = (row(number, line) for number, line in enumerate(text, 1) if line.strip())
    return table


def _unreadable(text: str) -> str | None:
    if len(text) > ROW_SIZE:
        return f"longer than {ROW_SIZE:,} characters"
    return "not UTF-8" if re.search("[\ud800-\udfff]", text) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def refuse(file: Path, why: str) -> NoReturn:
    """Raise a `Failure` for the file."""
    raise Failure(Exit.USAGE, f"{file}: {why}")
