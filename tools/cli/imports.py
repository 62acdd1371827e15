"""Imports: a file of any length, row by row, a few hundred rows a request, and on from where it was interrupted.

Beside FILE stand, while they are of use, `FILE.progress.json` (how far the import came; gone when it is done) and
`FILE.errors.ndjson` (what is wrong with which line). Each request is preceded by its dry run, whose outcome is written
down: when an import was interrupted, the requests under way are sent again, and counted as what they were to do.
"""

import csv
import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tools import files
from tools.cli import output
from tools.cli.client import ATTEMPTS, Client, Exit, Failure

ROWS = 500
"""Rows of a request at most."""
BATCH_SIZE = 1_000_000
"""Characters after which a request takes no more rows."""
ROW_SIZE = 64 * 1024
"""Characters of a row at most."""
THREADS = 4
HEAD = 64 * 1024
"""Bytes at the beginning of a file by which it is known again, with its length."""

File = Annotated[Path, typer.Argument(help="A .csv with a header line, or one JSON object a line.", show_default=False)]
FileFormat = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson, if the name does not tell.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of each row, and change nothing.")]
Errors = Annotated[
    Path | None, typer.Option("--errors", help="Where errors go. Default: FILE.errors.ndjson.", show_default=False)
]
Restart = Annotated[bool, typer.Option("--restart", help="From the beginning, wherever an earlier import got to.")]


@dataclass(frozen=True)
class Columns:
    """What a row may hold, and how a cell of a CSV file is read that is not plain text."""

    required: Sequence[str]
    optional: Sequence[str]
    cells: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: the line on which it begins, and what it says or why it cannot be read."""

    line: int
    size: int
    content: dict[str, Any] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one request, the number of rows before them, and the place in the file up to which it was read."""

    rows: list[Row]
    start: int
    place: int


COUNTS = ("created", "changed", "unchanged")
"""What an import counts its good rows under."""


@dataclass
class Done:
    """How far an import came."""

    lines: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    errors: int = 0


class Ledger:
    """How far an import came, and what each request under way was about to do, kept beside the file.

    A request that was interrupted may have done it: what the same rows come to afterwards would not tell. So what a dry
    run says of them is written down first.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path, self._about = path, about
        self._lock = threading.Lock()
        self.done, self.errors_size = Done(), 0
        self.begun: dict[int, dict[str, int]] = {}
        """By the number of rows before it: how many rows a request has that was under way, and what it was to do."""

    def resume(self, *, dry_run: bool) -> None:
        """Take up an earlier import of the same file. Raises `Failure`: it is none, or this is a dry run."""
        try:
            found = json.loads(self._path.read_text())
        except FileNotFoundError:
            return
        except ValueError:
            found = {}
        if dry_run or any(found.get(name) != value for name, value in self._about.items()):
            what = "was not finished" if dry_run else "was of another file, with other options or to another Bindery"
            raise Failure(Exit.USAGE, f"the import in {self._path} {what}: --restart forgets it")
        self.done, self.errors_size = Done(**found["done"]), found["errors_size"]
        self.begun = {int(start): counts for start, counts in found["begun"].items()}

    def begin(self, batch: Batch, preview: Mapping[str, Any]) -> None:
        """Write down what a request is about to do."""
        with self._lock:
            self.begun[batch.start] = {"rows": len(batch.rows), **{name: preview[name] for name in COUNTS}}
            self._save()

    def end(self, batch: Batch, report: Mapping[str, Any], failed: TextIO) -> None:
        """Count what became of a request, and write it down: between the two no other request is written down."""
        with self._lock:
            _count(self.done, batch, report, failed)
            self.begun.pop(batch.start, None)
            self.errors_size = failed.tell()
            self._save()

    def _save(self) -> None:
        begun = {str(start): counts for start, counts in self.begun.items()}
        written = {**self._about, "errors_size": self.errors_size, "done": asdict(self.done), "begun": begun}
        files.replace(self._path, json.dumps(written) + "\n")


def run(
    api: Client,
    resource: str,
    columns: Columns,
    file: Path,
    *,
    form: str | None,
    dry_run: bool,
    errors: Path | None,
    restart: bool,
    unbindable: bool = False,
) -> dict[str, Any]:
    """Import a file, and return the report. `unbindable` goes with each request (devices). Raises `Failure`."""
    options = {"unbindable": True} if unbindable else {}
    form = form or {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}.get(file.suffix.lower())
    if form not in ("csv", "ndjson"):
        raise Failure(Exit.USAGE, f"is {file} csv or ndjson? Give --format")
    errors = errors or file.with_name(file.name + ".errors.ndjson")
    record = file.with_name(file.name + ".progress.json")
    try:
        with file.open("rb") as raw:
            head = hashlib.sha256(raw.read(HEAD)).hexdigest()
        size = file.stat().st_size
        about = {
            "endpoint": api.endpoint,
            "import": resource,
            "format": form,
            "size": size,
            "head": head,
            "options": options,
        }
        if restart:
            record.unlink(missing_ok=True)
        ledger = Ledger(record, about)
        ledger.resume(dry_run=dry_run)
        done, kept = ledger.done, ledger.errors_size
        with (
            file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
            errors.open("a", encoding="utf-8") as failed,
            _progress(size) as progress,
        ):
            failed.truncate(min(kept, errors.stat().st_size))
            task = progress.add_task("", total=size, told="")
            rows = (_csv if form == "csv" else _ndjson)(text, file, columns)
            batches = _batches(text, islice(rows, done.lines, None), done.lines, dict(ledger.begun))
            for batch, report in _sent(api, resource, options, batches, None if dry_run else ledger):
                if dry_run:
                    _count(done, batch, report, failed)
                else:
                    ledger.end(batch, report, failed)
                progress.update(task, completed=batch.place, told=f"{done.lines:,} lines, {done.errors:,} errors")
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or file}: {error.strerror or error}") from None
    except (Failure, KeyboardInterrupt):
        if record.exists():
            output.note(f"Interrupted. The same command goes on from where it was ({record}).")
        raise
    record.unlink(missing_ok=True)
    if done.errors:
        output.note(f"{done.errors} of {done.lines} lines failed: {errors} says why.")
    else:
        errors.unlink()
    return {**asdict(done), "dry_run": dry_run}


def failed(report: Mapping[str, Any]) -> bool:
    """Whether any line failed."""
    return bool(report["errors"])


def _progress(size: int) -> Progress:
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[told]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def _batches(text: TextIO, rows: Iterator[Row], start: int, begun: Mapping[int, Mapping[str, int]]) -> Iterator[Batch]:
    """The rows in requests; those that were begun before with the rows that they had then."""
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


def _sent(
    api: Client, resource: str, options: Mapping[str, Any], batches: Iterator[Batch], ledger: Ledger | None
) -> Iterator[tuple[Batch, Mapping[str, Any]]]:
    """What the API says to each batch, in their order, while the next ones are on their way. No ledger: a dry run."""

    def ask(rows: list[Any], *, dry_run: bool) -> Mapping[str, Any]:
        body = {"rows": rows, "dry_run": dry_run, **options}
        answer: Mapping[str, Any] = api.ask("POST", resource, "import", body=body, attempts=ATTEMPTS)
        return answer

    def send(batch: Batch) -> Mapping[str, Any]:
        rows = [row.content for row in batch.rows if row.content is not None]
        if not rows:
            return {**dict.fromkeys(COUNTS, 0), "errors": []}
        if ledger is None:
            return ask(rows, dry_run=True)
        before = ledger.begun.get(batch.start)
        if before is None:
            ledger.begin(batch, ask(rows, dry_run=True))
            return ask(rows, dry_run=False)
        return {**ask(rows, dry_run=False), **{name: before[name] for name in COUNTS}}

    with ThreadPoolExecutor(THREADS) as threads:
        waiting: deque[tuple[Batch, Future[Any]]] = deque()
        try:
            for batch in batches:
                waiting.append((batch, threads.submit(send, batch)))
                if len(waiting) == 2 * THREADS:
                    sent, answer = waiting.popleft()
                    yield sent, answer.result()
            while waiting:
                sent, answer = waiting.popleft()
                yield sent, answer.result()
        finally:
            for _, answer in waiting:
                answer.cancel()


def _count(done: Done, batch: Batch, report: Mapping[str, Any], failed: TextIO) -> None:
    sent = [row for row in batch.rows if row.content is not None]
    found = [(row.line, "unreadable", row.problem) for row in batch.rows if row.content is None]
    found += [(sent[error["row"]].line, error["problem"], error["message"]) for error in report["errors"]]
    for line, problem, message in sorted(found, key=lambda error: error[0]):
        failed.write(json.dumps({"line": line, "problem": problem, "message": message}, ensure_ascii=False) + "\n")
    failed.flush()
    done.lines += len(batch.rows)
    done.created += report["created"]
    done.changed += report["changed"]
    done.unchanged += report["unchanged"]
    done.errors += len({line for line, _, _ in found})


def _csv(text: TextIO, file: Path, columns: Columns) -> Iterator[Row]:
    reader = csv.reader(text, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        _refuse(file, f"the header line cannot be read ({error})")
    known = [*columns.required, *columns.optional]
    if not names:
        _refuse(file, "the file has no header line")
    if unknown := [name for name in names if name not in known]:
        _refuse(file, f"unknown columns {', '.join(map(repr, unknown))}; there are: {', '.join(known)}")
    if missing := [name for name in columns.required if name not in names]:
        _refuse(file, f"the header line lacks {', '.join(missing)}")
    if len(set(names)) < len(names):
        _refuse(file, "a column stands in the header line twice")
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            upto = f", up to line {reader.line_num}" if reader.line_num > line else ""
            yield Row(line, 0, problem=f"not CSV{upto}: {error}")
            continue
        if not cells:
            continue
        size = sum(map(len, cells))
        if problem := _unreadable("".join(cells)):
            yield Row(line, size, problem=problem)
        elif len(cells) != len(names):
            yield Row(line, size, problem=f"{len(cells)} cells, where the header line has {len(names)}")
        else:
            row = {name: cell for name, cell in zip(names, cells, strict=True) if cell.strip()}
            read = {name: columns.cells[name](cell) for name, cell in row.items() if name in columns.cells}
            yield Row(line, size, row | read)


def _ndjson(text: TextIO, file: Path, columns: Columns) -> Iterator[Row]:
    known = [*columns.required, *columns.optional]
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        problem = _unreadable(line)
        content = None
        if problem is None:
            try:
                content = json.loads(line, parse_constant=_no_number)
            except (ValueError, RecursionError) as error:
                problem = f"not JSON: {error}"
            else:
                if not isinstance(content, dict):
                    content, problem = None, "not a JSON object"
                elif unknown := [name for name in content if name not in known]:
                    # The API does not repeat what it does not know.
                    problem = f"unknown members {', '.join(map(repr, unknown))}; there are: {', '.join(known)}"
                    content = None
        yield Row(number, len(line), content, problem)


def _unreadable(text: str) -> str | None:
    if len(text) > ROW_SIZE:
        return f"longer than {ROW_SIZE} characters"
    return "not UTF-8" if re.search("[\ud800-\udfff]", text) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse(file: Path, why: str) -> NoReturn:
    raise Failure(Exit.USAGE, f"{file}: {why}")
