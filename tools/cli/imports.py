"""Imports: a file of any length, row by row, a few hundred rows a request, resumed after an interruption.

An import keeps files beside FILE: `FILE.progress.json` (how far it has come; removed at its end), `FILE.errors.ndjson`
(what is wrong with which row) and, at its end, `FILE.failed.csv` (the rows that failed, to be fixed and imported). On a
read-only medium, and for `-`, they are kept elsewhere. No file is overwritten that is not an import's own.

Each request is preceded by its dry run, whose outcome is recorded: when an import was interrupted, the requests in
flight are sent again, and counted as what they were to do.
"""

import codecs
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, count, groupby, islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, TextIO

import typer
from rich.cells import cell_len
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

SHOWN = 10
"""Errors that are printed at most."""

File = Annotated[
    Path,
    typer.Argument(help="A .csv with a header line, or one JSON object a line; - for the standard input."),
]
FileFormat = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson, if the name does not end so.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would become of each row, and change nothing.")]
Errors = Annotated[
    Path | None, typer.Option("--errors", help="File for errors. Default: FILE.errors.ndjson.", show_default=False)
]
Restart = Annotated[bool, typer.Option("--restart", help="Start from the beginning instead of resuming.")]


@dataclass(frozen=True)
class Columns:
    """What a row may hold, how a CSV cell is read that is not plain text, and what two rows must not share.

    `identity` are the members that identify what a row describes. `alike` gives other values that two rows must not
    share, and `alike_name` is the member to name then.
    """

    required: Sequence[str]
    optional: Sequence[str]
    cells: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    identity: Sequence[str] = ()
    alike: Callable[[Mapping[str, Any]], Sequence[Any] | None] = lambda row: None
    alike_name: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file: the line on which it begins, its text or cells, and its content or why it cannot be imported."""

    line: int
    size: int
    content: dict[str, Any] | None = None
    problem: str | None = None
    message: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one request, the number of rows before them, and the place in the file up to which it was read."""

    rows: list[Row]
    start: int
    place: int


COUNTS = ("created", "changed", "unchanged")
"""What an import counts its valid rows under."""


@dataclass
class Done:
    """How far an import came."""

    lines: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    errors: int = 0


class Ledger:
    """How far an import has come, and what each request in flight was to do, kept in a file.

    A request that was interrupted may have succeeded: the same rows would then be reported as unchanged. So the outcome
    of their dry run is recorded first.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self._about = path, about
        self._lock = threading.Lock()
        self.done, self.errors_size = Done(), 0
        self.begun: dict[int, dict[str, int]] = {}
        """By the number of rows before it: how many rows a request in flight has, and what it was to do."""
        self.saved = False

    def resume(self, *, dry_run: bool, restart: bool) -> None:
        """Resume an earlier import of the same file, or delete its record.

        Raises `Failure`: it is of another file, or this is a dry run.
        """
        try:
            found = json.loads(self.path.read_text())
        except FileNotFoundError:
            return
        except ValueError:
            found = None
        if not isinstance(found, dict) or not self._about.keys() | {"done", "begun"} <= found.keys():
            raise Failure(Exit.USAGE, f"{self.path} exists and is not the record of an import: move it elsewhere")
        if restart:
            self.path.unlink()
            return
        if dry_run or any(found[name] != value for name, value in self._about.items()):
            what = "was not finished" if dry_run else "was of another file, with other options or to another Bindery"
            raise Failure(Exit.USAGE, f"the import in {self.path} {what}. To start from the beginning: --restart")
        self.done, self.errors_size = Done(**found["done"]), found["errors_size"]
        self.begun = {int(start): counts for start, counts in found["begun"].items()}
        self.saved = True

    def begin(self, batch: Batch, preview: Mapping[str, Any]) -> None:
        """Record what a request is about to do."""
        with self._lock:
            self.begun[batch.start] = {"rows": len(batch.rows), **{name: preview[name] for name in COUNTS}}
            self._save()

    def end(self, batch: Batch, report: Mapping[str, Any], errors: "_Errors", columns: Columns) -> None:
        """Count the outcome of a request, and record it: between the two no other request is recorded."""
        with self._lock:
            if not self.saved:
                # The errors file is an import's own only if a record says so.
                self._save()
            _count(self.done, batch, report, errors, columns)
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
        written = {**self._about, "errors_size": self.errors_size, "done": asdict(self.done), "begun": begun}
        files.replace(self.path, json.dumps(written) + "\n")
        self.saved = True


class _Errors:
    """The file with what is wrong with which row. It is made at the first error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._size = 0
        self._stale = False

    def claim(self, source: int, ledger: Ledger) -> None:
        """Take the path over, from an earlier import too. Raises `Failure`: the file there is not an import's own."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        if os.path.samestat(found, os.fstat(source)):
            raise Failure(Exit.USAGE, f"{self.path} is the file to import: give another --errors")
        self._stale = stat.S_ISREG(found.st_mode) and (ledger.saved or _is_error(self.path))
        if not self._stale and not (stat.S_ISREG(found.st_mode) and found.st_size == 0):
            raise Failure(
                Exit.USAGE, f"{self.path} exists and is not the error file of an import: give another --errors"
            )
        self._size = min(ledger.errors_size, found.st_size)
        if ledger.saved:
            os.truncate(self.path, self._size)

    def write(self, row: Row, problem: str, message: str, columns: Columns) -> None:
        """Write down what is wrong with a row."""
        if self._file is None:
            # Half of a surrogate pair becomes JSON's escape of it.
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
            self._file.truncate(self._size)
        content = row.content or {}
        named = {name: content[name] for name in columns.identity if name in content}
        raw = {} if row.raw is None else {"row": row.raw}
        error = {"line": row.line, **named, "problem": problem, "message": message, **raw}
        self._file.write(json.dumps(error, ensure_ascii=False) + "\n")

    def size(self) -> int:
        """The length of what has been written."""
        if self._file is not None:
            self._file.flush()
            self._size = self._file.tell()
        return self._size

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every error, in the order of the rows."""
        with self.path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def drop(self) -> None:
        """Delete what an earlier import wrote, if anything: this one has no errors."""
        if self._stale:
            self.path.unlink()


def _is_error(path: Path) -> bool:
    """True if a file begins as the error file of an import does."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline(2 * ROW_SIZE))
    except ValueError:
        return False
    return isinstance(first, dict) and {"line", "problem", "message"} <= first.keys()


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
    ledger: Ledger | None = None
    try:
        with _opened(file) as source, ExitStack() as stack:
            size = os.fstat(source.fileno()).st_size
            start = source.read(HEAD)
            source.seek(0)
            head = hashlib.sha256(start).hexdigest()
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                _refuse(file, "the file is UTF-16. Save it as UTF-8 (Excel: CSV UTF-8)")
            place = _place(file, form, head)
            failed = _Errors(errors or place.with_name(place.name + ".errors.ndjson"))
            about = {
                "endpoint": api.endpoint,
                "import": resource,
                "format": form,
                "size": size,
                "head": head,
                "options": options,
                "errors": str(failed.path.absolute()),
            }
            ledger = Ledger(place.with_name(place.name + ".progress.json"), about)
            ledger.resume(dry_run=dry_run, restart=restart)
            failed.claim(source.fileno(), ledger)
            stack.callback(failed.close)
            text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
            table = _csv(text, file, columns) if form == "csv" else _ndjson(text, columns)
            done = ledger.done
            progress = stack.enter_context(_progress())
            task = progress.add_task("", total=size, told="")
            rows = islice(_unrepeated(table.rows, columns), done.lines, None)
            batches = _batches(text, rows, done.lines, dict(ledger.begun))
            for batch, report in _sent(api, resource, options, batches, None if dry_run else ledger):
                if dry_run:
                    _count(done, batch, report, failed, columns)
                else:
                    ledger.end(batch, report, failed, columns)
                progress.update(task, completed=batch.place, told=f"{done.lines:,} rows, {done.errors:,} failed")
        ledger.finish()
        if table.empty:
            output.note(f"{table.empty:,} empty rows were skipped.")
        if done.errors:
            _tell(done, failed, columns, None if dry_run else _save_failed(failed, place, form, table))
        else:
            failed.drop()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or file}: {error.strerror or error}") from None
    except (Failure, KeyboardInterrupt):
        if ledger is not None and ledger.saved:
            output.note(f"Interrupted. Run the same command again to resume ({ledger.path}).")
        raise
    return {**asdict(done), "dry_run": dry_run}


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """The file; what cannot be read twice, such as the standard input, as a copy of it."""
    with ExitStack() as stack:
        given = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        if given is sys.stdin.buffer or not stat.S_ISREG(os.fstat(given.fileno()).st_mode):
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(given, copy)
            copy.seek(0)
            yield copy
        else:
            yield given


def _place(file: Path, form: str, head: str) -> Path:
    """The path beside which an import keeps its files: the imported file, if files can be kept beside it."""
    if file.is_file() and os.access(file.parent, os.W_OK):
        return file
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "bindery" / "imports"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state / f"{head[:12]}-{'stdin.' + form if str(file) == '-' else file.name}"


def _save_failed(errors: _Errors, place: Path, form: str, table: "_Table") -> Path:
    """Write the rows that failed into a new file, which can be fixed and imported."""
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


def _tell(done: Done, errors: _Errors, columns: Columns, failed: Path | None) -> None:
    """Print the first errors; rows with the same error are one."""
    told: dict[str, list[Any]] = {}
    others = unreadable = 0
    for error in errors.lines():
        message = error["message"]
        unreadable += "row" not in error
        if message in told:
            told[message][1] += 1
        elif len(told) < SHOWN:
            name = next((error[name] for name in reversed(columns.identity) if name in error), "-")
            told[message] = [f"line {error['line']}", 0, name]
        else:
            others += 1
    rows = [
        (f"{line} and {more:,} more", "", message) if more else (line, output.escape(name), message)
        for message, (line, more, name) in told.items()
    ]
    line_width, name_width = (max(cell_len(row[column]) for row in rows) for column in (0, 1))
    lines = [
        f"{line:{line_width}}  {name:{name_width}}  {message}" if name_width else f"{line:{line_width}}  {message}"
        for line, name, message in rows
    ]
    fix = "" if failed is None else f". Fix and import: {failed}"
    if unreadable and failed is not None:
        fix += f" (without {unreadable:,} that could not be read)"
    lines = [f"{done.errors:,} of {done.lines:,} rows failed{fix}", *(f"  {line}" for line in lines)]
    if others:
        lines.append(f"  and {others:,} more")
    output.note("\n".join([*lines, f"All errors: {errors.path}"]))


def summary(report: Mapping[str, Any]) -> str:
    """The report as a sentence."""
    verb = "would be " if report["dry_run"] else ""
    counts = {**{name: report[name] for name in COUNTS}, "failed": report["errors"]}
    told = ", ".join(f"{count:,} {'' if name == 'failed' else verb}{name}" for name, count in counts.items())
    return f"{report['lines']:,} rows: {told}"


def failed(report: Mapping[str, Any]) -> bool:
    """True if any row failed."""
    return bool(report["errors"])


def _progress() -> Progress:
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
    """The rows in requests; a request that was begun before has the rows that it had then."""
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
    """Each batch with the API's report, in their order, while the next ones are in flight. No ledger: a dry run."""

    def ask(rows: list[Any], *, dry_run: bool) -> Mapping[str, Any]:
        body = {"rows": rows, "dry_run": dry_run, **options}
        answer: Mapping[str, Any] = api.ask("POST", resource, "import", body=body, attempts=ATTEMPTS)
        return answer

    def send(batch: Batch) -> Mapping[str, Any]:
        rows = [row.content for row in batch.rows if row.problem is None]
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


def _count(done: Done, batch: Batch, report: Mapping[str, Any], errors: _Errors, columns: Columns) -> None:
    sent = [row for row in batch.rows if row.problem is None]
    found = [(row, row.problem, row.message) for row in batch.rows if row.problem is not None]
    found += [
        (sent[error["row"]], error["problem"], _worded(sent[error["row"]], error["message"]))
        for error in report["errors"]
    ]
    for row, problem, message in sorted(found, key=lambda error: error[0].line):
        errors.write(row, problem, message, columns)
    done.lines += len(batch.rows)
    done.created += report["created"]
    done.changed += report["changed"]
    done.unchanged += report["unchanged"]
    done.errors += len({row.line for row, _, _ in found})


def _worded(row: Row, message: str) -> str:
    """The API's message, `member: what is wrong`, with the member's value."""
    name, colon, wrong = message.partition(": ")
    value = (row.content or {}).get(name)
    return f"{name} {value!r}: {wrong}" if colon and value is not None else message


def _unrepeated(rows: Iterator[Row], columns: Columns) -> Iterator[Row]:
    """The rows. One that repeats an earlier row of the file, or has what is another's, becomes an error."""
    # A database without a name is a temporary file, most of it in memory: a file may have any number of rows.
    with closing(sqlite3.connect("")) as seen:
        seen.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")

        def earlier(row: Row, what: str, values: Sequence[Any] | None) -> int | None:
            if values is None or not all(isinstance(value, str) and value.strip() for value in values):
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
                    row = replace(row, problem="repeated", message=f"{columns.alike_name} is that of line {line} too")
            yield row


@dataclass
class _Table:
    """A file's rows, how its columns are named and separated, and how many empty rows were skipped so far."""

    rows: Iterator[Row] = field(init=False)
    names: Sequence[str] = ()
    delimiter: str = ","
    empty: int = 0


_SPREADSHEET = (
    (re.compile(r'=".*"', re.DOTALL), "formula", "a spreadsheet formula"),
    (re.compile(r"[+-]?\d+([.,]\d+)?E[+-]\d+", re.IGNORECASE), "number", "a number that a spreadsheet shortened"),
)
"""What spreadsheets make of identifiers."""


def _csv(text: TextIO, file: Path, columns: Columns) -> _Table:
    known = [*columns.required, *columns.optional]
    header = text.readline()
    # Excel separates by semicolons where the comma is the decimal point.
    delimiter = max(",;\t", key=lambda each: sum(name.strip(' "\r\n') in known for name in header.split(each)))
    reader = csv.reader(chain([header], text), strict=True, delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        _refuse(file, f"the header line cannot be read ({error})")
    if not any(names):
        _refuse(file, "the file has no header line")
    if unknown := [name for name in names if name not in known]:
        _refuse(file, f"unknown columns {', '.join(map(repr, unknown))}. Known columns: {', '.join(known)}")
    if missing := [name for name in columns.required if name not in names]:
        _refuse(file, f"the header line lacks {', '.join(missing)}")
    if len(set(names)) < len(names):
        _refuse(file, "the header line has a column twice")
    table = _Table(names=names, delimiter=delimiter)

    def rows() -> Iterator[Row]:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                upto = f", up to line {reader.line_num}" if reader.line_num > line else ""
                yield Row(line, 0, problem="unreadable", message=f"not CSV{upto}: {error}")
                continue
            if any(cell.strip() for cell in cells):
                yield _cells(line, cells)
            elif cells:
                table.empty += 1

    def _cells(line: int, cells: list[str]) -> Row:
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

    table.rows = rows()
    return table


def _ndjson(text: TextIO, columns: Columns) -> _Table:
    known = [*columns.required, *columns.optional]

    def row(number: int, line: str) -> Row:
        message = _unreadable(line)
        if message is not None:
            return Row(number, len(line), problem="unreadable", message=message)
        raw = line.rstrip("\r\n")
        try:
            content = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            return Row(number, len(line), None, "unreadable", f"not JSON: {error}", raw)
        if not isinstance(content, dict):
            return Row(number, len(line), None, "unreadable", "not a JSON object", raw)
        if unknown := [name for name in content if name not in known]:
            # The API does not repeat names that it does not know.
            message = f"unknown members {', '.join(map(repr, unknown))}. Known members: {', '.join(known)}"
            return Row(number, len(line), content, "unreadable", message, raw)
        return Row(number, len(line), content, raw=raw)

    table = _Table()
    table.rows = (row(number, line) for number, line in enumerate(text, 1) if line.strip())
    return table


def _unreadable(text: str) -> str | None:
    if len(text) > ROW_SIZE:
        return f"longer than {ROW_SIZE:,} characters"
    return "not UTF-8" if re.search("[\ud800-\udfff]", text) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(file: Path, why: str) -> NoReturn:
    raise Failure(Exit.USAGE, f"{file}: {why}")
