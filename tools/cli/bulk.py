"""`bindery bulk`."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.cli import bulk_job, bulk_rows, lists, output, times, working
from tools.cli.bulk_job import Entry, Job, Record
from tools.cli.client import Client, Exit, Failure
from tools.cli.command import Context, Yes, command, confirm, group
from tools.cli.resource import declared

app = group(
    "Change many devices, with a preview, a report and an undo.\n\n"
    "Devices are from a file or a list. A change is a job in a folder. If it is interrupted, run the same command "
    "again, or bindery bulk resume."
)

SAMPLE = 5
"""Devices in a preview."""
_PROBLEMS = 10
"""Kinds of problems in a preview."""


@dataclass(frozen=True)
class Act:
    """An act on each device: its help, and the act that undoes it."""

    text: str
    inverse: str | None = None
    reason: bool = False
    only_file: bool = False


ACTS = {
    "ban": Act("Ban devices: they can no longer be bound, added or connected to.", "unban", reason=True),
    "unban": Act("Lift the bans on devices.", "ban"),
    "disable": Act("Prevent new bindings of devices (quectel). Existing bindings are kept.", "enable"),
    "enable": Act("Allow new bindings of devices again (quectel).", "disable"),
    "deactivate": Act("Prevent connections to devices, and end those open.", "activate"),
    "activate": Act("Allow connections to devices again.", "deactivate"),
    "lost": Act("Record that devices are lost: their holders keep them, but cannot use them.", "found", reason=True),
    "found": Act("Record that lost devices were found.", "lost"),
    "retire": Act("End the bindings of devices, and take them out of use until they are returned.", reason=True),
    "return": Act("Return devices to stock: end their bindings, and revoke their keys.", reason=True),
    "delete": Act("Delete unbound devices. Their history stays."),
    "unbind": Act("End the bindings of devices, or those of the users in column uid.", reason=True),
    "assign": Act("Assign service addresses: column address; optional: service, port.", "unassign", only_file=True),
    "unassign": Act("Remove the service addresses of devices, or those in column address."),
}

File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="CSV with a header line, one JSON object per line (.ndjson), or one device id per line. "
        "Columns: device, or serial (with or without product_key), imei or mac.",
        show_default=False,
    ),
]
FileFormat = Annotated[
    str | None, typer.Option("--format", help="csv, ndjson or ids. Default: from the file name.", show_default=False)
]
Reason = Annotated[str, typer.Option(help="Reason, shown to other operators.")]
OptionalReason = Annotated[str | None, typer.Option(help="Reason, if the undo needs one.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the preview.")]
Restart = Annotated[bool, typer.Option("--restart", help="Start a new job instead of resuming.")]
Folder = Annotated[
    str, typer.Argument(metavar="JOB", help="Folder of a job, or its name in the state folder.", show_default=False)
]
FILTERS: dict[str, Any] = {
    "product": lists.Product,
    "account": lists.Account,
    "api": lists.Api,
    "state": lists.State,
    "since": times.Since,
}


def _summary(result: Mapping[str, Any]) -> str:
    if result["job"] is None:
        return "Nothing was changed."
    lines = [
        f"{result['devices']:,} lines: {bulk_job.told(result)}",
        f"Report: {Path(result['job']) / 'report.ndjson'}",
    ]
    if result["done"] and ACTS[result["act"]].inverse is not None:
        lines.append(f"To undo: bindery bulk undo {result['job']}")
    return "\n".join(lines)


def _failed(result: Mapping[str, Any]) -> bool:
    return bool(result["refused"])


def _add(name: str, act: Act) -> None:
    """Add the command for an act."""

    def change(context: Context, **given: Any) -> Any:
        filters = {each: given[each] for each in FILTERS if given.get(each) is not None}
        file: Path | None = given["file"]
        if (file is None) is not bool(filters):
            choice = "--file" if act.only_file else "either --file or a filter, such as --product"
            raise Failure(Exit.USAGE, f"specify {choice}")
        query = lists.query(**{each: given.get(each) for each in FILTERS})
        reason = given.get("reason")
        source = _source(file, given["form"], filters)
        folder, job = _find(context.api, name, reason, source, file, restart=given["restart"])
        if job is not None:
            output.note(f"Resuming the job in {folder}.")
            return _run(context.api, job)
        # Before the devices are read: what changes later is left alone.
        began_at = bulk_job.server_time(context.api, name, reason)
        job = Job(folder, Record(context.api.endpoint, name, reason, source, began_at))
        entries = bulk_rows.of_list(context.api, query) if file is None else bulk_rows.of_file(file, given["form"])
        return _start(context.api, job, entries, yes=given["yes"], dry_run=given["dry_run"])

    arguments: dict[str, Any] = {"reason": Reason} if act.reason else {}
    arguments |= {"file": File, "form": FileFormat} | ({} if act.only_file else FILTERS)
    arguments |= {"yes": Yes, "dry_run": DryRun, "restart": Restart}
    defaults: dict[str, Any] = {"file": None, "form": None, "yes": False, "dry_run": False, "restart": False}
    defaults |= dict.fromkeys(FILTERS)
    command(app, name=name, done=_summary, failed=_failed)(declared(change, act.text, arguments, **defaults))


for _each, _of in ACTS.items():
    _add(_each, _of)


@command(app, done=_summary, failed=_failed)
def resume(context: Context, folder: Folder) -> Any:
    """Resume an interrupted job."""
    job = bulk_job.find(folder)
    _check(context.api, job)
    if job.record.stopped:
        raise Failure(Exit.CONFLICT, f"the job in {job.folder} was given up, so it cannot be resumed")
    if job.finished:
        return _result(job)
    return _run(context.api, job)


@command(app, done=_summary, failed=_failed)
def undo(
    context: Context, folder: Folder, reason: OptionalReason = None, yes: Yes = False, dry_run: DryRun = False
) -> Any:
    """Undo what a job has done, except what was changed since. A job that is not finished is given up."""
    job = bulk_job.find(folder)
    _check(context.api, job)
    inverse = ACTS[job.record.act].inverse
    if inverse is None:
        raise Failure(Exit.USAGE, f"{job.record.act} cannot be undone. The report has its devices: {job.report}")
    if ACTS[inverse].reason and reason is None:
        raise Failure(Exit.USAGE, f"to undo {job.record.act} is to {inverse}, which needs --reason")
    place, undoing = bulk_job.place(job.folder.with_name(f"{job.folder.name}.undo"))
    if undoing is not None:
        output.note(f"Resuming the job in {place}.")
        return _run(context.api, undoing)
    with job.locked():
        began_at = job.record.ended_at or bulk_job.server_time(context.api, inverse, reason)
        record = Record(context.api.endpoint, inverse, reason, {"job": str(job.folder)}, began_at, undoes=job.record.id)
        undoing = Job(place, record)
        return _start(context.api, undoing, _done(job), yes=yes, dry_run=dry_run, gives_up=job)


@command(app, line=lambda job: job["text"])
def status(
    context: Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="Folder of a job. Default: all in the state folder.")
    ] = None,
) -> Any:
    """Show how far a job is, or the jobs in the state folder."""
    return (_status(job) for job in ([bulk_job.find(folder)] if folder is not None else bulk_job.known()))


def _status(job: Job) -> dict[str, Any]:
    state = "given up" if job.record.stopped else "finished" if job.finished else "not finished"
    result = _result(job)
    reported = sum(result[outcome] for outcome in bulk_job.OUTCOMES)
    counts = f"{reported:,} of {result['devices']:,} lines: {bulk_job.told(result)}"
    return {**result, "state": state, "text": f"{job.folder}: {job.record.act}, {state}, {counts}"}


def _source(file: Path | None, form: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    if file is None:
        return dict(filters)
    try:
        return {"file": str(file.absolute()), "format": form, "sha256": bulk_rows.fingerprint(file)}
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file}: {error.strerror or error}") from None


def _find(
    api: Client, act: str, reason: str | None, source: Mapping[str, Any], file: Path | None, *, restart: bool
) -> tuple[Path, Job | None]:
    """Return the folder for a job, and the job to resume."""
    about = [api.endpoint, act, reason, source]
    name = f"{act}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}"
    beside = file is not None and working.has_room(file)
    folder, job = bulk_job.place(
        file.with_name(f"{file.name}.{act}") if file is not None and beside else working.state_folder("jobs") / name
    )
    if job is None:
        return folder, None
    record = job.record
    if restart:
        record.stopped = True
        job.save()
        return _find(api, act, reason, source, file, restart=True)
    if [record.endpoint, record.act, record.reason, record.source] != about:
        raise Failure(
            Exit.USAGE,
            f"the job in {folder} is not finished, and had another file, other options or another endpoint. "
            f"To resume it: bindery bulk resume {folder}. To start a new job: --restart",
        )
    return folder, job


def _check(api: Client, job: Job) -> None:
    if job.record.endpoint != api.endpoint:
        raise Failure(Exit.USAGE, f"the job in {job.folder} is for {job.record.endpoint}, not for {api.endpoint}")


def _done(job: Job) -> Generator[Entry, None, None]:
    """Yield the devices that a job has changed, and those of requests whose outcome was not recorded."""
    left = 0
    outcomes = job.outcomes()
    for entry in job.devices():
        outcome = next(outcomes, None)
        if outcome is None:
            left += 1
            if left > 2 * working.THREADS * bulk_job.LINES:
                return
        if "problem" not in entry and (outcome is None or outcome["outcome"] == "done"):
            yield entry


def _start(
    api: Client,
    job: Job,
    entries: Generator[Entry, None, None],
    *,
    yes: bool,
    dry_run: bool,
    gives_up: Job | None = None,
) -> dict[str, Any]:
    """Resolve the devices, print the preview, and run the job once it is confirmed."""
    preview = _Preview(job)
    try:
        # Otherwise another thread might close a file's database of rows, which SQLite refuses.
        with closing(entries):
            job.write_devices(preview.resolved(api, entries))
        preview.print()
        if dry_run or not preview.counts["done"]:
            job.discard()
            if not dry_run:
                output.note("There is nothing to do.")
            return {"act": job.record.act, "job": None, "devices": job.record.devices, **preview.result()}
        question = f"{job.record.act.capitalize()} {preview.counts['done']:,} devices?"
        confirm(question, yes=yes, why="this changes many devices")
    except (typer.Abort, Failure):
        if job.folder.exists():
            job.discard()
        raise
    except OSError as error:
        raise Failure(Exit.USAGE, f"{error.filename or job.folder}: {error.strerror or error}") from None
    if gives_up is not None and not gives_up.finished:
        gives_up.end(api, stopped=True)
    job.save()
    return _run(api, job)


def _run(api: Client, job: Job) -> dict[str, Any]:
    with _note_if_interrupted(job):
        job.run(api)
    return _result(job)


@contextmanager
def _note_if_interrupted(job: Job) -> Iterator[None]:
    try:
        yield
    except (Failure, KeyboardInterrupt):
        output.note(f"Interrupted. To resume: bindery bulk resume {job.folder}")
        raise


def _result(job: Job) -> dict[str, Any]:
    counts = job.counts()
    return {
        "act": job.record.act,
        "job": str(job.folder),
        "devices": job.record.devices,
        **{outcome: counts[outcome] for outcome in bulk_job.OUTCOMES},
    }


class _Preview:
    """Counts, samples and problems of a job before it runs."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.counts: Counter[str] = Counter()
        self._sample: list[Entry] = []
        self._problems: dict[str, list[int]] = {}

    def resolved(self, api: Client, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Yield the lines with the ids of their devices, and count what would be done."""
        seen: dict[tuple[Any, ...], int] = {}
        batches = bulk_job.batched(entries, bulk_job.LINES)
        with working.progress_bar() as progress:
            task = progress.add_task("", total=None, text="")
            for batch, outcomes in working.in_order(batches, lambda batch: self._job.ask(api, batch, dry_run=True)):
                for entry, outcome in zip(batch, outcomes, strict=True):
                    yield self._count(*_resolve(entry, outcome, seen))
                progress.update(task, text=bulk_job.told(self.counts))

    def _count(self, entry: Entry, outcome: str, problem: str | None) -> Entry:
        self.counts[outcome] += 1
        if outcome == "done" and len(self._sample) < SAMPLE:
            self._sample.append(entry)
        if problem is not None:
            self._problems.setdefault(problem, []).append(entry["line"])
        return entry

    def result(self) -> dict[str, int]:
        """Return the counts."""
        return {outcome: self.counts[outcome] for outcome in bulk_job.OUTCOMES}

    def print(self) -> None:
        """Print the counts, some devices, and the problems with their lines."""
        record = self._job.record
        reason = "" if record.reason is None else f" (reason: {record.reason})"
        lines = [
            f"{record.act} at {record.endpoint}{reason}",
            f"{self.counts['done']:,} devices to change, {self.counts['unchanged']:,} are as they should be, "
            f"{self.counts['refused']:,} lines refused",
        ]
        lines += [f"  line {entry['line']}  {_name(entry)}" for entry in self._sample]
        if self.counts["done"] > len(self._sample):
            lines.append(f"  and {self.counts['done'] - len(self._sample):,} more")
        lines += [f"  {_places(found)}: {problem}" for problem, found in list(self._problems.items())[:_PROBLEMS]]
        if len(self._problems) > _PROBLEMS:
            lines.append(f"  and {len(self._problems) - _PROBLEMS:,} other problems")
        output.note("\n".join(lines))


def _resolve(
    entry: Entry, outcome: Mapping[str, Any], seen: dict[tuple[Any, ...], int]
) -> tuple[Entry, str, str | None]:
    """Return a line with the id of its device, and its outcome and problem."""
    device = outcome.get("device")
    if device is None:
        return {**entry, "problem": outcome["problem"]}, "refused", outcome["problem"]
    kept = {name: entry[name] for name in ("line", "uid", "address", "service", "port") if name in entry}
    found = {**kept, "device": device}
    first = seen.setdefault((device, entry.get("uid"), entry.get("address")), entry["line"])
    if first != entry["line"]:
        problem = f"Repeats line {first}."
        return {**found, "problem": problem}, "refused", "Repeats an earlier line."
    return found, outcome["outcome"], outcome["problem"]


def _name(entry: Entry) -> str:
    """Return the parts of a device's key, and the address."""
    text: str = entry["device"]
    key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    return " ".join([*key.split("#"), *([entry["address"]] if "address" in entry else [])])


def _places(lines: list[int]) -> str:
    return f"line {lines[0]}" + (f" and {len(lines) - 1:,} more" if len(lines) > 1 else "")
