"""`bindery webhooks`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Exit, Failure
from tools.cli.command import All, Context, Limit, Yes, command, confirm, group, listed
from tools.cli.resource import Resource
from tools.cli.times import moment

_ERRORS = {
    "unresolved": "the host name does not exist, or its look-up failed",
    "not_public": "the host has an address that is not public",
    "unreachable": "no TCP connection was accepted",
    "tls": "the TLS handshake failed",
    "timed_out": "there was no complete response within the time limit",
    "malformed": "the response is not HTTP, or the connection was closed before its end",
}

_EARLIEST = 10**12
"""Milliseconds from which the API accepts times. No event is older."""

app = group("Manage webhooks: URLs to which events are delivered.")

Webhook = Annotated[str, typer.Argument(help="Webhook id.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Type of events to deliver; can be repeated. Default: all.", show_default=False),
]


def _types(webhook: Mapping[str, Any]) -> str:
    return ", ".join(webhook["types"]) or "all"


def _state(webhook: Mapping[str, Any]) -> str:
    return "enabled" if webhook["enabled"] else f"disabled: {webhook['disabled_reason']}"


def _shown(webhook: Mapping[str, Any]) -> str:
    return "\n".join(output.lines({**webhook, "types": _types(webhook)}))


def _result(attempt: Mapping[str, Any]) -> str:
    return str(attempt["error"] or attempt["status"])


webhooks = Resource(app, "webhooks", webhook=Webhook)


@command(app, once="secret", done="Created webhook {id}.\nTo test it: bindery webhooks test {id}")
def create(
    context: Context,
    url: Annotated[str, typer.Argument(help="URL (https) that receives events.")],
    types: Types = None,
) -> Any:
    """Create a webhook. The secret with which its deliveries are signed is shown only once."""
    return context.api.post("webhooks", url=url, types=types or [])


webhooks.list("List webhooks.", {"ID": "id", "URL": "url", "TYPES": _types, "STATE": _state})
webhooks.show("Show a webhook.", done=_shown)


@command(app)
def types(context: Context, webhook: Webhook, types: Types = None) -> Any:
    """Replace the types of events. Those that are new apply to events from now on."""
    return context.api.ask("PUT", "webhooks", webhook, "types", body={"types": types or []})


@command(app, once="secret", done="Replaced the secret of webhook {id}. The old one also signs for 24 hours.")
def rotate(context: Context, webhook: Webhook) -> Any:
    """Replace a webhook's secret. The new one is shown only once. Both sign deliveries for 24 hours."""
    return context.api.post("webhooks", webhook, "rotate")


@command(app, done="Disabled webhook {id}. Its events are kept until it is enabled.")
def disable(
    context: Context, webhook: Webhook, reason: Annotated[str, typer.Option(help="Why it is disabled.")]
) -> Any:
    """Disable a webhook. Its events are kept until it is enabled."""
    return context.api.post("webhooks", webhook, "disable", reason=reason)


webhooks.action(
    "enable", "Enable a webhook, and deliver the events that it missed while disabled.", done="Enabled webhook {id}."
)


@command(app, done="Deleted webhook {id}.")
def delete(context: Context, webhook: Webhook, yes: Yes = False) -> Any:
    """Delete a webhook, and discard the events that wait for it."""
    confirm(f"Delete webhook {webhook}? Events that were not delivered will be lost to its receiver.", yes=yes)
    return context.api.ask("DELETE", "webhooks", webhook)


def _tested(answer: Mapping[str, Any]) -> str:
    if answer["delivered"]:
        what = "The receiver accepted the test event"
    elif answer["error"] is None:
        what = f"Not delivered: the response has status {answer['status']}"
    else:
        what = f"Not delivered: {_ERRORS.get(answer['error'], answer['error'])}"
    return f"{what}, after {answer['milliseconds']} ms."


@command(app, done=_tested, failed=lambda answer: not answer["delivered"])
def test(context: Context, webhook: Webhook) -> Any:
    """Send a signed test event now. The exit code is 1 if it is not accepted."""
    return context.api.post("webhooks", webhook, "test")


@command(
    app,
    columns={"EVENT": "event", "TYPE": "type", "AT": "at", "ATTEMPT": "attempt", "RESULT": _result},
)
def deliveries(context: Context, webhook: Webhook, limit: Limit = 50, everything: All = False) -> Any:
    """List the attempts of the last 30 days to deliver events, newest first."""
    return listed(context.api, "webhooks", webhook, "deliveries", limit=limit, everything=everything)


@command(app, name="dead", columns={"EVENT": "event", "TYPE": "type", "AT": "at", "RESULT": _result})
def dead_letters(context: Context, webhook: Webhook, limit: Limit = 50, everything: All = False) -> Any:
    """List events that were not accepted for three days, oldest first."""
    return listed(context.api, "webhooks", webhook, "dead-letters", limit=limit, everything=everything)


def _replayed(answer: Mapping[str, Any]) -> str:
    noun = "event" if answer["events"] == 1 else "events"
    return f"{answer['events']} {noun} will be delivered again." if answer["events"] else "No events to deliver again."


@command(app, done=_replayed)
def replay(
    context: Context,
    webhook: Webhook,
    since: Annotated[
        str | None,
        typer.Option(
            help="Deliver all events recorded since this date or time (UTC) again, such as 2026-12-01T12:00:00Z.",
            show_default=False,
        ),
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Deliver the events that were given up again.")] = False,
) -> Any:
    """Deliver events again, in order, even if they were accepted. Their ids stay the same."""
    if (since is None) is not dead:
        raise Failure(Exit.USAGE, "specify either --since or --dead")
    body: dict[str, Any] = {}
    if (start := moment(since)) is not None:
        body["since"] = max(start, _EARLIEST)
    events = 0
    while True:
        answer = context.api.ask("POST", "webhooks", webhook, "replay", body=body)
        events += answer["events"]
        if answer["next"] is None:
            return {"events": events}
        if since is not None:
            body["cursor"] = answer["next"]
        output.note(f"{events} so far …")
