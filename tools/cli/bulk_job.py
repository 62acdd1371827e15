"""Jobs of `bindery bulk`. A job is a folder, in which every file is private:

- `job.json`: what is done, where and why. It is written last, once the operator has confirmed.
- `devices.ndjson`: the devices, in order, and the lines that name none.
- `report.ndjson`: the outcome of each line, in the same order. A job resumes where this file ends.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

from tools import files
from tools.cli import working
from tools.cli.client import ATTEMPTS, Client, Exit, Failure

LINES = 100
"""Devices of a request."""

OUTCOMES = ("done", "unchanged", "refused")

NAMED = ("device", "product_key", "serial", "imei", "mac", "uid", "address", "service", "port")
"""Members of a line that are sent."""

_RECORD, _DEVICES, _REPORT, _LOCK = "job.json", "devices.ndjson", "report.ndjson", "lock"

Entry = Mapping[str, Any]
"""A line: its number and members, and the problem of a line that names no device."""


@dataclass
class Record:
    """Content of `job.json`."""

    endpoint: str
    act: str
    reason: str | None
    source: dict[str, Any]
    """The file or filter."""
    began_at: int
    """Time of the server. What others changed later is left alone."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    undoes: str | None = None
    devices: int = 0
    """Number of lines."""
    ended_at: int | None = None
    stopped: bool = False
    """True if the job was given up: it is not resumed."""


class Job:
    """A job's folder."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self.record = folder, record

    @property
    def report(self) -> Path:
        """File with the outcome of each line."""
        return self.folder / _REPORT

    @property
    def finished(self) -> bool:
        """Return True if there is nothing to resume."""
        return self.record.ended_at is not None or self.record.stopped

    def save(self) -> None:
        """Write `job.json`."""
        files.replace(self.folder / _RECORD, json.dumps(asdict(self.record)) + "\n")

    def write_devices(self, entries: Iterable[Entry]) -> None:
        """Write the devices, durably, before the job is saved."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with working.private(self.folder / _DEVICES, "w") as file:
            for entry in entries:
                file.write(json.dumps(entry) + "\n")
                self.record.devices += 1
            working.sync(file)

    def devices(self) -> Iterator[Entry]:
        """Yield the lines."""
        with (self.folder / _DEVICES).open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def outcomes(self) -> Iterator[dict[str, Any]]:
        """Yield the outcomes so far. A torn last line is not one."""
        if self.report.exists():
            with self.report.open(encoding="utf-8", errors="replace") as file:
                yield from (json.loads(line) for line in file if line.endswith("\n"))

    def counts(self) -> Counter[str]:
        """Return the number of lines for each outcome."""
        return Counter(line["outcome"] for line in self.outcomes())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the job. Raises `Failure` if another process does."""
        with working.private(self.folder / _LOCK, "w") as file, working.held(file, f"the job in {self.folder}"):
            yield

    def discard(self) -> None:
        """Delete a job that was not saved."""
        for name in (_DEVICES, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        self.folder.rmdir()

    def run(self, api: Client) -> None:
        """Send the lines that have no outcome, and record the outcomes. Raises `Failure`."""
        with self.locked(), working.private(self.report, "a+") as report, working.progress_bar() as progress:
            counts = _whole_lines(report)
            reported = counts.total()
            task = progress.add_task("", total=self.record.devices, text="")
            batches = batched(islice(self.devices(), reported, None), LINES)
            for batch, outcomes in working.in_order(batches, lambda batch: self.ask(api, batch)):
                lines = [_reported(entry, outcome) for entry, outcome in zip(batch, outcomes, strict=True)]
                report.write("".join(json.dumps(line) + "\n" for line in lines))
                working.sync(report)
                counts.update(line["outcome"] for line in lines)
                reported += len(lines)
                progress.update(task, completed=reported, text=told(counts))
            self.end(api)

    def end(self, api: Client, *, stopped: bool = False) -> None:
        """Record that the job has ended, with the server's time."""
        self.record.ended_at, self.record.stopped = server_time(api, self.record.act, self.record.reason), stopped
        self.save()

    def ask(self, api: Client, batch: Sequence[Entry], *, dry_run: bool = False) -> list[Mapping[str, Any]]:
        """Return the outcome of each line. Those with a problem are not sent."""
        lines = [
            {name: entry[name] for name in NAMED if name in entry} for entry in batch if entry.get("problem") is None
        ]
        record = self.record
        body = {"devices": lines, "reason": record.reason, "job": record.id, "began_at": record.began_at}
        body |= {"undoes": record.undoes, "dry_run": dry_run}
        answers = iter(_ask(api, record.act, body)["outcomes"] if lines else ())
        return [
            next(answers) if entry.get("problem") is None else {"outcome": "refused", "problem": entry["problem"]}
            for entry in batch
        ]


def server_time(api: Client, act: str, reason: str | None) -> int:
    """Return the server's time in milliseconds. Raises `Failure` if the operator may not do the act."""
    at: int = _ask(api, act, {"devices": [], "reason": reason, "dry_run": True})["began_at"]
    return at


def _ask(api: Client, act: str, body: Mapping[str, Any]) -> Any:
    return api.ask("POST", "devices", "bulk", act, body=body, attempts=ATTEMPTS)


def batched(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield the entries in lists of at most `size`."""
    left = iter(entries)
    while batch := list(islice(left, size)):
        yield batch


def told(counts: Mapping[str, int]) -> str:
    """Return counts as text."""
    return ", ".join(f"{counts.get(outcome, 0):,} {outcome}" for outcome in OUTCOMES)


def _reported(entry: Entry, outcome: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in entry.items() if name != "problem"}
    problem = outcome["problem"]
    return {**shown, "outcome": outcome["outcome"], **({} if problem is None else {"problem": problem})}


def _whole_lines(report: IO[Any]) -> Counter[str]:
    """Count the outcomes of a report, and remove a line that was not written whole."""
    report.seek(0)
    content = report.buffer  # type: ignore[attr-defined]  # it was opened as text
    counts: Counter[str] = Counter()
    size = 0
    for line in content:
        if not line.endswith(b"\n"):
            break
        counts[json.loads(line)["outcome"]] += 1
        size += len(line)
    report.truncate(size)
    report.seek(size)
    return counts


# ── Finding jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def load(folder: Path) -> Job | None:
    """Return the job of a folder, or None without `job.json`. Raises `Failure` if that is another file."""
    path = folder / _RECORD
    try:
        return Job(folder, Record(**json.loads(path.read_text())))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
        raise Failure(Exit.USAGE, f"{path} is not the record of a bulk job") from None


def find(name: str) -> Job:
    """Return the job in a folder, or the job of this name in the state folder. Raises `Failure`."""
    named = [] if re.search(r"[/\\]|\A\.", name) else [working.state_folder("jobs") / name]
    for folder in (Path(name), *named):
        if (job := load(folder)) is not None:
            return job
    raise Failure(Exit.NOT_FOUND, f"no job in {name}. To list the jobs in the state folder: bindery bulk status")


def known() -> Iterator[Job]:
    """Yield the jobs in the state folder."""
    for folder in sorted(working.state_folder("jobs").iterdir()):
        if (job := load(folder)) is not None:
            yield job


def place(folder: Path) -> tuple[Path, Job | None]:
    """Return the folder for a job, and the job to resume: of `folder`, `folder-2` and so on, the first not finished."""
    for number in count(1):
        numbered = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if (job := load(numbered)) is not None:
            if not job.finished:
                return numbered, job
        elif not numbered.exists() or _is_unsaved(numbered):
            return numbered, None
    raise AssertionError


def _is_unsaved(folder: Path) -> bool:
    """Return True for the folder of a job that was not confirmed."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {_DEVICES, _LOCK, f"{_RECORD}.new"}
