"""Print text for people and JSON for programs.

Printing must not fail after a command has done its work: characters that cannot be encoded or seen are escaped, and a
secret that standard output does not take goes to standard error.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from rich.cells import cell_len

from tools.cli.client import MORE

Columns = Mapping[str, str | Callable[[Mapping[str, Any]], Any]]
"""Member or function of the record for each column title."""

_SECONDS = 10**11
"""Times below this are seconds, others milliseconds."""


class Format(StrEnum):
    """Output format."""

    TABLE = "table"
    JSON = "json"


def show(
    value: Any,
    form: Format | None,
    *,
    columns: Columns | None = None,
    done: str | None = None,
    secret: str | None = None,
    quiet: bool = False,
) -> None:
    """Print a record, or records from an iterator: by default as a table on a terminal, else as JSON.

    In a table, `done` replaces a record. The member `secret` gets its own line, the only one if `quiet`.
    """
    if form is None:
        form = Format.TABLE if _terminal(sys.stdout) else Format.JSON
    if quiet and secret is not None:
        _write(escape(value[secret]) + "\n", keep=True)
    elif isinstance(value, Iterator):
        if _json(value) if form is Format.JSON else _table(value, columns):
            note("There are more entries. Use --limit or --all.")
    elif form is Format.JSON:
        _write(_dump(value, indent=2) + "\n", keep=secret is not None)
        if secret is not None:
            note(f"Store the {secret} now; it will not be shown again.")
    else:
        told = {name: content for name, content in value.items() if name != secret}
        text = "\n".join(lines(told) if done is None else [done]) + "\n"
        if secret is not None:
            text += f"\n{secret.capitalize()} (store it now; it will not be shown again):\n{escape(value[secret])}\n"
        _write(text, keep=secret is not None)


def stream(records: Generator[Any, None, None], form: Format | None, line: Callable[[Mapping[str, Any]], str]) -> None:
    """Print each record as soon as it is known: by default as a line of text on a terminal, else as JSON."""
    if form is None:
        form = Format.TABLE if _terminal(sys.stdout) else Format.JSON
    with closing(records):
        for record in records:
            if not _write((_dump(record) if form is Format.JSON else escape(line(record))) + "\n"):
                return


def table(records: Sequence[Mapping[str, Any]], columns: Columns) -> list[str]:
    """Return lines of aligned columns, if narrow with the first above the others."""
    rows = [list(columns)]
    rows += [[_text(record, column) for column in columns.values()] for record in records]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= shutil.get_terminal_size().columns:
        return [_aligned(row, widths) for row in rows]
    return [line for row in rows for line in (row[0], f"  {_aligned(row[1:], widths[1:])}")]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def note(text: str) -> None:
    """Print a message to standard error."""
    _put(sys.stderr, "\n".join(map(escape, text.split("\n"))) + "\n")


def escape(text: str) -> str:
    """Escape characters that a terminal does not show as themselves."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def word(name: str, value: Any) -> str:
    """Format a value for people. Members named `at` or `…_at` are times."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if value > 0 and (name == "at" or name.endswith("_at")):
            seconds = value if value < _SECONDS else value / 1000
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
        case list():
            return ", ".join(word(name, content) for content in value)
        case dict():
            return ", ".join(f"{inner} {word(inner, content)}" for inner, content in value.items())
    return escape(str(value))


def _text(record: Mapping[str, Any], column: str | Callable[[Mapping[str, Any]], Any]) -> str:
    return word(column, record.get(column)) if isinstance(column, str) else word("", column(record))


def lines(record: Mapping[str, Any]) -> list[str]:
    """Return a record as lines of names and values."""
    width = max(map(len, record), default=0)
    found: list[str] = []
    for name, value in record.items():
        match value:
            case {} if value:
                found += [name, *(f"  {line}" for line in lines(value))]
            case [{}, *_]:
                found.append(name)
                for content in value:
                    first, *rest = lines(content) or [""]
                    found += [f"  - {first}", *(f"    {line}" for line in rest)]
            case _:
                found.append(f"{name:{width}}  {word(name, value)}")
    return found


def _table(records: Iterator[Any], columns: Columns | None) -> bool:
    found = list(records)
    more = bool(found) and found[-1] is MORE
    if more:
        found.pop()
    if found:
        names = dict.fromkeys(name for record in found for name in record)
        _write("\n".join(table(found, columns or {name.upper(): name for name in names})) + "\n")
    else:
        note("No entries.")
    return more


def _json(records: Iterator[Any]) -> bool:
    between = "[\n  "
    for record in records:
        if record is MORE:
            _write("\n]\n")
            return True
        if not _write(between + _dump(record)):
            return False
        between = ",\n  "
    _write("[]\n" if between.startswith("[") else "\n]\n")
    return False


def _dump(value: Any, indent: int | None = None) -> str:
    """Return JSON, in ASCII if standard output cannot show it otherwise."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    deceiving = _terminal(sys.stdout) and not text.replace("\n", "").isprintable()
    if deceiving or _encoded(text, sys.stdout) != text:
        return json.dumps(value, indent=indent)
    return text


def _terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _encoded(text: str, stream: TextIO | None) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write(text: str, *, keep: bool = False) -> bool:
    """Write to standard output, or else to standard error if `keep`. Return True on success."""
    written = _put(sys.stdout, text)
    if not written and keep:
        _put(sys.stderr, f"bindery: cannot write to standard output. The output was:\n{text}")
    return written


def data(content: bytes) -> bool:
    """Write bytes to standard output. Return False if it was closed."""
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError:
        _discard(sys.stdout)
        return False
    return True


def _discard(stream: TextIO) -> None:
    # Python flushes the buffer again at exit, which would fail again.
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


def _put(stream: TextIO | None, text: str) -> bool:
    if stream is None or stream.closed:
        return False
    try:
        stream.write(_encoded(text, stream))
        stream.flush()
    except OSError:
        _discard(stream)
        return False
    return True
