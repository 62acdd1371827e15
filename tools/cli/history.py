"""`bindery history`."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Client, Exit, Failure
from tools.cli.command import All, Context, Limit, command, group, listed
from tools.cli.lookup import Device, checked
from tools.cli.times import Since, moment

app = group("Show, verify and export what happened, and who did it.")

ATTEMPTS = 7
"""Attempts of a request while the API is unavailable."""

PAGE = 1000
"""Maximum number of events in a page of the log."""

OnlyDevice = Annotated[str | None, typer.Option("--device", help="Id of a device.", show_default=False)]


def details(event: Mapping[str, Any]) -> str:
    """Return the members of an event's data for people, except the device or subject."""
    shown = ("device", "api", "subject", "binding", "connection")
    told = {name: value for name, value in event["data"].items() if name not in shown and value is not None}
    return ", ".join(f"{name} {_text(name, value)}" for name, value in told.items())


def about(event: Mapping[str, Any]) -> str:
    """Return the device or subject of an event."""
    data = event["data"]
    return str(data["device"]) if "device" in data else _text("subject", data["subject"])


def line(event: Mapping[str, Any]) -> str:
    """Return an event as a line of text."""
    return "  ".join(filter(None, [_heading(event), about(event), details(event)]))


def _text(name: str, value: Any) -> str:
    match value:
        case {"kind": kind, "id": identifier}:
            return f"{kind} {identifier}"
        case int() if name == "until":
            return output.word("at", value)
    return output.word(name, value)


def _heading(event: Mapping[str, Any]) -> str:
    return f"{output.word('at', event['at'])}  {event['type']}"


OF_ONE: output.Columns = {"EVENT": _heading, "DETAILS": details}
"""Columns of a device's events."""
ALL: output.Columns = {"EVENT": lambda event: f"{_heading(event)}  {about(event)}", "DETAILS": details}


def of_person(api: Client, *path: str, limit: int, everything: bool) -> Any:
    """Return the events of a person, and print the person's pseudonym to standard error."""
    person = api.get("history", *path, limit=1)["person"]
    output.note(f"The pseudonym in these events is {person}.")
    return listed(api, "history", *path, limit=limit, everything=everything)


@command(app, name="list", columns=ALL)
def page(
    context: Context,
    operator: Annotated[str, typer.Option(help="ARN of an operator.")],
    since: Since = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List what an operator did, oldest first."""
    query = {"operator": operator, "since": moment(since)}
    return listed(context.api, "history", "operators", limit=limit, everything=everything, **query)


@command(app)
def show(context: Context, event: Annotated[str, typer.Argument(help="Event id.")]) -> Any:
    """Show an event."""
    return context.api.get("history", "events", event)


def _verified(result: Mapping[str, Any]) -> str:
    problem, state = result["problem"], result["state"]
    if problem is not None:
        lines = [f"The history is broken at event {problem['seq']}: {problem['what']}"]
    elif result["events"]:
        lines = [
            f"{result['events']} events, from number {result['first_seq']}: no event was changed, and none is missing."
        ]
    else:
        lines = ["There are no events of the device."]
    if state["agrees"]:
        lines.append("The registry agrees with the history.")
    else:
        lines += ["The registry differs from the history:", *(f"  {each}" for each in state["differs"])]
        lines.append("A change of the last seconds may not be in the history yet: repeat the command.")
        if problem is None:
            lines.append("What happened before the upgrade to a release with a history is not in it.")
    return "\n".join(map(output.escape, lines))


@command(app, done=_verified, failed=lambda result: result["problem"] is not None or not result["state"]["agrees"])
def verify(context: Context, device: Device) -> Any:
    """Verify the history of a device: that it is complete, unchanged, and agrees with the registry."""
    return context.api.get("history", "devices", device, "verify")


class _Progress:
    """Number of exported events, and the time of recording of the last."""

    def __init__(self) -> None:
        self.events = 0
        self.recorded_at: int | None = None

    def passing(self, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Count events."""
        for event in events:
            yield event
            self.events += 1
            self.recorded_at = event["recorded_at"]


@command(app, done="Exported {events} events to {file}.", line=json.dumps)
def export(
    context: Context,
    since: Since = None,
    device: OnlyDevice = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="New file. Default: standard output.", show_default=False)
    ] = None,
) -> Any:
    """Export events in the order of recording, one JSON object per line.

    tools/check_history.py checks such files. If an export is interrupted, it
    prints the command that continues it; the two files can overlap.
    """
    start = moment(since)
    events = log(context.api, start) if device is None else _chain(context.api, checked(device), start or 0)
    progress = _Progress()
    again = "" if device is None else f" --device {device}"
    if file is None:
        return _noting(progress, again, progress.passing(events))
    with _new(file) as opened, _note_if_interrupted(progress, again):
        opened.writelines(f"{json.dumps(event)}\n" for event in progress.passing(events))
    return {"events": progress.events, "file": str(file)}


def log(api: Client, since: int | None) -> Iterator[dict[str, Any]]:
    """Yield all events recorded since a time."""
    return (event for page in pages(api, since, wait=None) for event in page)


def pages(api: Client, since: int | None, wait: Callable[[], None] | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of the log. At its end, stop, or `wait` and read on; some events are then repeated."""
    query: dict[str, Any] = {"since": since, "limit": PAGE}
    while True:
        page = api.ask("GET", "history", "events", query=query, attempts=ATTEMPTS)
        yield page["items"]
        query = {"after": page["next"], "limit": PAGE}
        if not page["more"]:
            if wait is None:
                return
            wait()


def _chain(api: Client, device: str, since: int) -> Iterator[dict[str, Any]]:
    events = api.pages("history", "devices", device, limit=None)
    return (event for event in events if event["recorded_at"] >= since)


def _new(file: Path) -> Any:
    try:
        return file.open("x", encoding="utf-8")
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file}: {error.strerror or error}") from None


def _noting(progress: _Progress, again: str, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with _note_if_interrupted(progress, again):
        yield from events


@contextmanager
def _note_if_interrupted(progress: _Progress, again: str) -> Iterator[None]:
    try:
        yield
    except (Failure, KeyboardInterrupt, GeneratorExit):
        if progress.recorded_at is not None:
            reached = datetime.fromtimestamp(progress.recorded_at / 1000, UTC).isoformat(timespec="milliseconds")
            again += f" --since {reached.replace('+00:00', 'Z')}"
        output.note(f"Interrupted after {progress.events:,} events. To continue: bindery history export{again}")
        raise


@command(app, columns={"CHANGE": "id", "AT": "at", "ERROR": "error"})
def unrecorded(context: Context, limit: Limit = 50, everything: All = False) -> Any:
    """List the changes from which no event could be made."""
    return listed(context.api, "history", "unrecorded", limit=limit, everything=everything)


def _retried(result: Mapping[str, int]) -> str:
    if not result["recorded"] and not result["left"]:
        return "There are no changes to record."
    return f"Recorded {result['recorded']} changes. {result['left']} could not be recorded again."


@command(app, done=_retried, failed=lambda result: bool(result["left"]))
def retry(context: Context) -> Any:
    """Record the changes from which no event could be made before, such as after an upgrade."""
    recorded, left, cursor = 0, 0, None
    while True:
        query = {"cursor": cursor}
        done = context.api.ask("POST", "history", "unrecorded", "retry", query=query)
        recorded, left, cursor = recorded + done["recorded"], left + done["left"], done["next"]
        if cursor is None:
            return {"recorded": recorded, "left": left}
