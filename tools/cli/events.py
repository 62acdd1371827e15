"""`bindery events`."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tools.cli import history, output
from tools.cli.client import Exit, Failure
from tools.cli.command import Context, command, group
from tools.cli.lookup import checked

app = group("Follow events as they are recorded.")

TYPES = (
    "device.registered",
    "device.bound",
    "device.unbound",
    "device.renamed",
    "device.shared",
    "device.share_accepted",
    "device.share_ended",
    "device.offered",
    "device.offer_ended",
    "device.blocked",
    "device.unblocked",
    "device.banned",
    "device.unbanned",
    "device.lost",
    "device.found",
    "device.retired",
    "device.returned",
    "device.disabled",
    "device.enabled",
    "device.deactivated",
    "device.activated",
    "device.address_assigned",
    "device.address_removed",
    "device.key_issued",
    "device.key_revoked",
    "device.deleted",
    "device.online",
    "device.offline",
    "connection.opened",
    "connection.ended",
    "operator.created",
    "operator.changed",
    "operator.deleted",
    "operator.erased",
)
"""Types of events in the history."""

PAUSE = 2
"""Seconds between two requests."""

REPEATED = 60_000
"""Milliseconds for which the ids of events are remembered. The log repeats the events of the last ten seconds."""


@command(app, line=history.line, endless=True)
def tail(
    context: Context,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Type of events, such as device.bound; can be repeated.", show_default=False),
    ] = None,
    device: history.OnlyDevice = None,
) -> Any:
    """Print events as they are recorded, one in a line, until Ctrl-C."""
    for name in types or ():
        if name not in TYPES:
            raise Failure(Exit.USAGE, f"{name!r} is not a type of events. Types: {', '.join(TYPES)}")
    wanted = None if device is None else checked(device)
    began = int(time.time() * 1000)
    output.note("Waiting for events. To stop: Ctrl-C.")
    return (
        event
        for event in _once(context, began)
        if (not types or event["type"] in types) and wanted in (None, event["data"].get("device"))
    )


def _once(context: Context, since: int) -> Iterator[dict[str, Any]]:
    """Yield each event that is recorded since a time once."""
    seen: dict[str, int] = {}
    for page in history.pages(context.api, since, wait=lambda: time.sleep(PAUSE)):
        for event in page:
            if event["id"] not in seen:
                yield event
            seen[event["id"]] = event["recorded_at"]
        if page:
            newest = max(seen.values())
            seen = {name: at for name, at in seen.items() if at > newest - REPEATED}
