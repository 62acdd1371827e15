"""Import a file of any length.

It keeps `FILE.progress.json` (until the end), `FILE.errors.ndjson` and `FILE.failed.csv` (the failed rows) beside FILE,
or in the state folder for standard input or a read-only folder. It overwrites no other files.
"""

import codecs
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from tools.cli import import_job, import_report, import_rows, output, working
from tools.cli.client import Client, Exit, Failure
from tools.cli.import_job import Batch, JobRecord
from tools.cli.import_report import Counts, ErrorsFile
from tools.cli.import_rows import Columns, Table

HEAD = 64 * 1024
"""Number of leading bytes that identify a file."""

File = Annotated[
    Path,
    typer.Argument(help="CSV file with a header line, or one JSON object per line (.ndjson); - for standard input."),
]
FileFormat = Annotated[
    str | None, typer.Option("--format", help="csv or ndjson. Default: from the file name.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report what would happen without changing anything.")]
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
    """Import a file and return the report. Raises `Failure`."""
    options = {"unbindable": True} if unbindable else {}
    form = _format(file, form)
    try:
        with _opened(file) as source:
            size, head = _fingerprint(file, source)
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
            with _note_if_interrupted(record):
                record.resume(dry_run=dry_run, restart=restart)
                failed.claim(source.fileno(), record.errors_size if record.saved else None)
                text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
                table = import_rows.read(text, file, form, columns)
                rows = islice(table.rows, record.counts.lines, None)
                batches = import_job.batches(text, rows, record.counts.lines, dict(record.begun))
                reports = import_job.send(api, resource, options, batches, None if dry_run else record)
                # Otherwise an import that breaks off would leave its database of rows open.
                with closing(failed), closing(table.rows):
                    _collect(reports, record, failed, size, dry_run=dry_run)
                record.finish()
                _print_failures(record.counts, failed, table, columns, form, None if dry_run else place)
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or file}: {error.strerror or error}") from None
    return {**asdict(record.counts), "dry_run": dry_run}


def _format(file: Path, form: str | None) -> str:
    form = form or {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}.get(file.suffix.lower())
    if form not in ("csv", "ndjson"):
        raise Failure(Exit.USAGE, f"cannot tell whether {file} is csv or ndjson. Use --format csv or --format ndjson")
    return form


def _fingerprint(file: Path, source: BinaryIO) -> tuple[int, str]:
    """Return the length of a file and a hash of its beginning. Raises `Failure` if it is UTF-16."""
    start = source.read(HEAD)
    source.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        import_rows.refuse(file, "the file is UTF-16. Save it as UTF-8 (Excel: CSV UTF-8)")
    return os.fstat(source.fileno()).st_size, hashlib.sha256(start).hexdigest()


@contextmanager
def _note_if_interrupted(record: JobRecord) -> Iterator[None]:
    try:
        yield
    except (Failure, KeyboardInterrupt):
        if record.saved:
            output.note(f"Interrupted. Run the same command again to resume ({record.path}).")
        raise


def _collect(
    reports: Iterator[tuple[Batch, Mapping[str, Any]]],
    record: JobRecord,
    failed: ErrorsFile,
    size: int,
    *,
    dry_run: bool,
) -> None:
    """Count the rows of all reports, and show the progress."""
    counts = record.counts
    with working.progress_bar() as progress:
        task = progress.add_task("", total=size, text="")
        for batch, report in reports:
            if dry_run:
                import_job.count(counts, batch, report, failed)
            else:
                record.end(batch, report, failed)
            progress.update(task, completed=batch.place, text=f"{counts.lines:,} rows, {counts.errors:,} failed")


def _print_failures(
    counts: Counts, failed: ErrorsFile, table: Table, columns: Columns, form: str, place: Path | None
) -> None:
    """Print the number of empty rows and the errors, and save the failed rows beside `place`."""
    if table.empty:
        output.note(f"Skipped {table.empty:,} empty rows.")
    if counts.errors:
        failed_rows = None if place is None else import_report.save_failed(failed, place, form, table)
        import_report.print_errors(counts, failed, columns, failed_rows)
    else:
        failed.delete_stale()


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open the file, or a temporary copy if it cannot be read twice."""
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
    """Return the path beside which the import keeps its files."""
    if working.has_room(file):
        return file
    state = working.state_folder("imports")
    return state / f"{head[:12]}-{'stdin.' + form if str(file) == '-' else file.name}"
