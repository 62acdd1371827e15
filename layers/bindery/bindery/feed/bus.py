"""The event bus, to which every event is published."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from bindery.aws import clients
from bindery.core import env
from bindery.core.errors import Reason, Refused
from bindery.feed import chain
from bindery.registry import items

ATTEMPTS = 3
_AT_ONCE = 10
"""Maximum number of events of a call."""


@cache
def client() -> clients.Client:
    """Return the client, created at the first call."""
    return clients.client("events")


def put(events: Sequence[items.Event]) -> None:
    """Publish events, if there is a bus. Raises `UNAVAILABLE` if it did not accept all of them."""
    if not env.read("EVENT_BUS"):
        return
    for start in range(0, len(events), _AT_ONCE):
        _put([_entry(event) for event in events[start : start + _AT_ONCE]])


def _put(entries: list[dict[str, Any]]) -> None:
    for _ in range(ATTEMPTS):
        answer = clients.call(client(), Reason.UNAVAILABLE, "PutEvents", Entries=entries)
        results = zip(entries, answer["Entries"], strict=True)
        entries = [entry for entry, result in results if result.get("ErrorCode")]
        if not entries:
            return
    raise Refused(Reason.UNAVAILABLE)


def _entry(event: items.Event) -> dict[str, Any]:
    return {
        "Source": "bindery",
        "DetailType": event["type"],
        "Detail": json.dumps(chain.as_public(event)),
        "EventBusName": env.read("EVENT_BUS"),
        "Time": event["at"] / 1000,
    }
