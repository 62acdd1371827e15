"""Import a file of any length: the options, and the run.

An import keeps files beside FILE: `FILE.progress.json` (its record, removed at the end), `FILE.errors.ndjson` (the
errors, each with its row) and, at the end, `FILE.failed.csv` (the rows that failed, to be fixed and imported). On a
read-only medium, and for `-`, they are kept elsewhere. No file is overwritten that an import did not write.

Each request is preceded by its dry run, whose outcome is recorded. When an import was interrupted, the requests in
flight are sent again, and the recorded outcome counts.
"""

import codecs
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tools.cli import import_job, import_report, import_rows, output
from tools.cli.client import Client, Exit, Failure
from tools.cli.import_job import JobRecord
from tools.cli.import_report import ErrorsFile
from tools.cli.import_rows import Columns

HEAD = 64 * 1024
"""Bytes at the beginning of a file by which it is known again, with its length."""

File = Annotated[
    Path,
    typer.Argument(help="A .csv with a header line, or one JSON object a line; - for the standard input."),
]
FileFormat = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson, if the name does not end so.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report the outcome of each row, and change nothing.")]
Errors = Annotated[
    Path | None, typer.Option("--errors", help="File for errors. Default: FILE.errors.ndjson.", show_default=False)
]
Restart = Annotated[bool, typer.Option("--restart", help="Start from the beginning instead of resuming.")]


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
    record: JobRecord | None = None
    try:
        with _opened(file) as source, ExitStack() as stack:
            size = os.fstat(source.fileno()).st_size
            start = source.read(HEAD)
            source.seek(0)
            head = hashlib.sha256(start).hexdigest()
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                import_rows.refuse(file, "the file is UTF-16. Save it as UTF-8 (Excel: CSV UTF-8)")
            place = _place(file, form, head)
            failed = ErrorsFile(errors or place.with_name(place.name + ".errors.ndjson"), columns.identity)
            about = {
                "endpoint": api.endpoint,
                "import": resource,
                "format": form,
                "size": size,
                "head": head,
                "options": options,
                "errors": str(failed.path.absolute()),
            }
            record = JobRecord(place.with_name(place.name + ".progress.json"), about)
            record.resume(dry_run=dry_run, restart=restart)
            failed.claim(source.fileno(), record.errors_size if record.saved else None)
            stack.callback(failed.close)
            text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
            table = import_rows.read(text, file, form, columns)
            counts = record.counts
            progress = stack.enter_context(_progress())
            task = progress.add_task("", total=size, text="")
            rows = islice(table.rows, counts.lines, None)
            batches = import_job.batches(text, rows, counts.lines, dict(record.begun))
            for batch, report in import_job.send(api, resource, options, batches, None if dry_run else record):
                if dry_run:
                    import_job.count(counts, batch, report, failed)
                else:
                    record.end(batch, report, failed)
                progress.update(task, completed=batch.place, text=f"{counts.lines:,} rows, {counts.errors:,} failed")
        record.finish()
        if table.empty:
            output.note(f"{table.empty:,} empty rows were skipped.")
        if counts.errors:
            failed_rows = None if dry_run else import_report.save_failed(failed, place, form, table)
            import_report.print_errors(counts, failed, columns, failed_rows)
        else:
            failed.delete_stale()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or file}: {error.strerror or error}") from None
    except (Failure, KeyboardInterrupt):
        if record is not None and record.saved:
            output.note(f"Interrupted. Run the same command again to resume ({record.path}).")
        raise
    return {**asdict(counts), "dry_run": dry_run}


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


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[text]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
