"""What commands print: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.cli.client import MORE


class Format(StrEnum):
    """How to print."""

    TABLE = "table"
    JSON = "json"


def show(value: Any, form: Format | None) -> None:
    """Print a record, or the records of an iterator as they come; a table if nothing else is asked on a terminal."""
    if form is None:
        form = Format.TABLE if sys.stdout.isatty() else Format.JSON
    if isinstance(value, Iterator):
        more = _json(value) if form is Format.JSON else _table(value)
        if more:
            note("There is more: --limit or --all shows it.")
    elif form is Format.JSON:
        _print(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        table = Table(show_header=False)
        for name, content in value.items():
            table.add_row(Text(name), _cell(name, content))
        _console(sys.stdout).print(table)


def note(text: str) -> None:
    """Say something beside the output."""
    sys.stderr.write(text + "\n")


def _json(records: Iterator[Any]) -> bool:
    between = "[\n  "
    for record in records:
        if record is MORE:
            _print("\n]")
            return True
        sys.stdout.write(between + json.dumps(record, ensure_ascii=False))
        between = ",\n  "
    _print("[]" if between.startswith("[") else "\n]")
    return False


def _table(records: Iterator[Any]) -> bool:
    found = list(records)
    more = bool(found) and found[-1] is MORE
    if more:
        found.pop()
    if found:
        _console(sys.stdout).print(_grid(found))
    else:
        note("None.")
    return more


def _grid(records: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    table = Table(*names)
    for record in records:
        table.add_row(*(_cell(name, record.get(name)) for name in names))
    return table


def _cell(name: str, value: Any) -> Text | Table:
    match value:
        case dict():
            return Text("\n".join(f"{inner}: {_word(inner, content)}" for inner, content in value.items()))
        case [{}, *_]:
            return _grid(value)
        case list():
            return Text("\n".join(_word("", content) for content in value))
    return Text(_word(name, value))


def _word(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith("_at") and value > 0:
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _console(file: Any) -> Console:
    # Off a terminal a table is as wide as what it holds: nothing that a program reads is cut or folded.
    return Console(file=file, width=None if file.isatty() else 10_000, emoji=False, highlight=False)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
