"""Send an import in concurrent batches, and record its progress."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tools import files
from tools.cli import working
from tools.cli.client import ATTEMPTS, Client, Exit, Failure
from tools.cli.import_report import OUTCOMES, Counts, ErrorsFile
from tools.cli.import_rows import Row

ROWS = 500
"""Maximum number of rows per request."""
BATCH_SIZE = 1_000_000
"""Number of characters at which a batch is full."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of a request, number of rows before them, and file position after them."""

    rows: list[Row]
    start: int
    place: int


class JobRecord:
    """Progress file of an import.

    It records the outcome of each request's dry run first, because a repeated request may report rows as unchanged.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self._about = path, about
        self._lock = threading.Lock()
        self.counts, self.errors_size = Counts(), 0
        self.begun: dict[int, dict[str, int]] = {}
        """Rows and expected outcome of each request in flight, by start row."""
        self.saved = False

    def resume(self, *, dry_run: bool, restart: bool) -> None:
        """Load the record of an interrupted import, or delete it. Raises `Failure` if it does not match."""
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return
        except ValueError:
            found = None
        if not isinstance(found, dict) or not self._about.keys() | {"done", "begun"} <= found.keys():
            raise Failure(
                Exit.USAGE, f"{self.path} exists but is not the progress file of an import. Move it elsewhere"
            )
        if restart:
            self.path.unlink()
            return
        if dry_run or any(found[name] != value for name, value in self._about.items()):
            what = "is not finished" if dry_run else "had another file, other options or another endpoint"
            raise Failure(Exit.USAGE, f"the import in {self.path} {what}. To start from the beginning: --restart")
        self.counts, self.errors_size = Counts(**found["done"]), found["errors_size"]
        self.begun = {int(start): counts for start, counts in found["begun"].items()}
        self.saved = True

    def begin(self, batch: Batch, preview: Mapping[str, Any]) -> None:
        """Record the expected outcome of a request."""
        with self._lock:
            self.begun[batch.start] = {"rows": len(batch.rows), **{name: preview[name] for name in OUTCOMES}}
            self._save()

    def end(self, batch: Batch, report: Mapping[str, Any], errors: ErrorsFile) -> None:
        """Count and record the outcome of a request."""
        with self._lock:
            if not self.saved:
                # Only a saved record shows that the errors file belongs to this import.
                self._save()
            count(self.counts, batch, report, errors)
            self.begun.pop(batch.start, None)
            self.errors_size = errors.size()
            self._save()

    def finish(self) -> None:
        """Delete the record."""
        if self.saved:
            self.path.unlink()
            self.saved = False

    def _save(self) -> None:
        begun = {str(start): counts for start, counts in self.begun.items()}
        written = {**self._about, "errors_size": self.errors_size, "done": asdict(self.counts), "begun": begun}
        files.replace(self.path, json.dumps(written) + "\n")
        self.saved = True


def batches(text: TextIO, rows: Iterator[Row], start: int, begun: Mapping[int, Mapping[str, int]]) -> Iterator[Batch]:
    """Yield the rows in batches, the same as before for batches already begun."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        before = begun.get(start)
        if len(batch) == (before["rows"] if before else ROWS) or (before is None and size >= BATCH_SIZE):
            yield Batch(batch, start, text.buffer.tell())
            batch, start, size = [], start + len(batch), 0
    if batch:
        yield Batch(batch, start, text.buffer.tell())


def send(
    api: Client, resource: str, options: Mapping[str, Any], batches: Iterator[Batch], record: JobRecord | None
) -> Iterator[tuple[Batch, Mapping[str, Any]]]:
    """Return each batch and its report, in order. Without a record, this is a dry run."""

    def ask(rows: list[Any], *, dry_run: bool) -> Mapping[str, Any]:
        body = {"rows": rows, "dry_run": dry_run, **options}
        answer: Mapping[str, Any] = api.ask("POST", resource, "import", body=body, attempts=ATTEMPTS)
        return answer

    def send_one(batch: Batch) -> Mapping[str, Any]:
        rows = [row.content for row in batch.rows if row.problem is None]
        if not rows:
            return {**dict.fromkeys(OUTCOMES, 0), "errors": []}
        if record is None:
            return ask(rows, dry_run=True)
        before = record.begun.get(batch.start)
        if before is None:
            record.begin(batch, ask(rows, dry_run=True))
            return ask(rows, dry_run=False)
        return {**ask(rows, dry_run=False), **{name: before[name] for name in OUTCOMES}}

    return working.in_order(batches, send_one)


def count(counts: Counts, batch: Batch, report: Mapping[str, Any], errors: ErrorsFile) -> None:
    """Add a batch's outcome to the counts and the errors file."""
    sent = [row for row in batch.rows if row.problem is None]
    found = [(row, row.problem, row.message) for row in batch.rows if row.problem is not None]
    found += [
        (sent[error["row"]], error["problem"], _with_value(sent[error["row"]], error["message"]))
        for error in report["errors"]
    ]
    for row, problem, message in sorted(found, key=lambda error: error[0].line):
        errors.write(row, problem, message)
    counts.lines += len(batch.rows)
    counts.created += report["created"]
    counts.changed += report["changed"]
    counts.unchanged += report["unchanged"]
    counts.errors += len({row.line for row, _, _ in found})


def _with_value(row: Row, message: str) -> str:
    """Insert the member's value into the API's message."""
    name, colon, wrong = message.partition(": ")
    value = (row.content or {}).get(name)
    return f"{name} {value!r}: {wrong}" if colon and value is not None else message
