"""Devices of a bulk change: lines of a file, or the entries of a list."""

import hashlib
import io
import re
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.cli import import_rows, working
from tools.cli.bulk_job import NAMED, Entry
from tools.cli.client import Client, Exit, Failure
from tools.cli.devices import Service

_IDENTIFIERS = ("device", "serial", "imei", "mac")
_LONGEST = 1366
_FORMS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def _number(cell: str) -> Any:
    return int(cell) if cell.strip().isdecimal() else cell


COLUMNS = import_rows.Columns((), NAMED, cells={"port": _number})


def fingerprint(file: Path) -> str:
    """Return the hash of a file."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def of_file(file: Path, form: str | None) -> Generator[Entry, None, None]:
    """Yield the lines of a file: CSV, NDJSON, or an id on each line. Raises `Failure`."""
    form = form or _FORMS.get(file.suffix.lower(), "ids")
    if form not in ("csv", "ndjson", "ids"):
        raise Failure(Exit.USAGE, f"{form!r} is not a format. Use --format csv, ndjson or ids")
    with file.open("rb") as source:
        text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
        if form == "ids":
            yield from (_entry(number, {"device": line.strip()}) for number, line in enumerate(text, 1) if line.strip())
            return
        table = import_rows.read(text, file, form, COLUMNS)
        if form == "csv" and not set(_IDENTIFIERS) & set(table.names):
            import_rows.refuse(file, f"the header line has none of {', '.join(_IDENTIFIERS)}")
        with closing(table.rows) as rows:
            for row in rows:
                entry = _entry(row.line, row.content or {})
                yield entry if row.problem is None else {**entry, "problem": row.message}


def _entry(line: int, content: Mapping[str, Any]) -> Entry:
    """Return a line, with a problem if it cannot be sent."""
    given = {name: value for name, value in content.items() if name in NAMED and value is not None}
    problem = next((f"{name} {value!r}: {why}" for name, value in given.items() if (why := _wrong(name, value))), None)
    shown = {name: value if problem is None else str(value)[:_LONGEST] for name, value in given.items()}
    return {"line": line, **shown} if problem is None else {"line": line, **shown, "problem": problem}


def _wrong(name: str, value: Any) -> str | None:
    if name == "port":
        return None if type(value) is int and 1 <= value <= 65535 else "must be a number from 1 to 65535"
    if name == "service" and value not in list(Service):
        return f"must be one of {', '.join(Service)}"
    if not isinstance(value, str) or len(value) > _LONGEST:
        return f"must be a text of at most {_LONGEST} characters"
    return "is not UTF-8" if re.search("[\ud800-\udfff]", value) else None


def of_list(api: Client, filters: Mapping[str, Any]) -> Generator[Entry, None, None]:
    """Yield the devices of a list. A device that has entered a state again is listed again."""
    seen: set[str] = set()
    for page in working.pages(api, ["devices"], filters):
        for device in page["items"]:
            if device["device"] not in seen:
                seen.add(device["device"])
                yield {"line": len(seen), "device": device["device"]}
