"""Changes of the registry, and what the feed's functions call for them."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from bindery.aws import functions
from bindery.feed import sending, webhooks
from tests import calls, feed, quectel, rufus
from tests.feed import Feed, Record
from tests.performance import costs, traffic
from tools import template

Act = Callable[[], object]
Item = dict[str, Any]

PUBLIC = "8.8.8.8"
"""Address of the webhook's host, which gets no request."""

RECEIVER_MILLISECONDS = 100
"""Time that the webhook's receiver takes for a response."""


def captured(patch: pytest.MonkeyPatch) -> Feed:
    """Capture every change of the engine's tables."""
    patch.setattr(feed, "_now", _now)
    return feed.captured(patch)


def _now(table: str, pk: str, sk: str) -> Item | None:
    key = {"pk": {"S": pk}} | ({"sk": {"S": sk}} if sk else {})
    found: Item | None = boto3.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    return found


def batches(records: list[Record]) -> Iterator[list[Record]]:
    """Yield what Lambda passes to the recorder: the records of each stream that pass its filter."""
    passed = [record for record in records if feed.passed(record)]
    for _, group in groupby(passed, key=itemgetter("eventSourceARN")):
        yield list(group)


def report(found: list[calls.Invocation], cost: costs.Cost, log: list[str], events: int) -> dict[str, Any]:
    """Return the calls of each invocation, the published events, units and bytes logged."""
    return {
        "invocations": [[each.name, *each.dynamodb] for each in found],
        "events": events,
        **cost.units(),
        "bytes logged": sum(costs._line_size(line) for line in log),
    }


def deliver(event: Item) -> calls.Invocation:
    """Invoke the function that delivers."""
    handler = template.function("feed.deliver").load()
    with calls.recording("feed.deliver") as invocation:
        handler(event, SimpleNamespace())
    return invocation


def subscribe(patch: pytest.MonkeyPatch) -> list[Item]:
    """Create a webhook whose receiver accepts everything. Return the invocations that are started for it."""
    started: list[Item] = []
    patch.setattr(sending, "resolve", lambda host, port: [PUBLIC])
    accepted = sending.Outcome(status=200, milliseconds=RECEIVER_MILLISECONDS)
    patch.setattr(sending, "post", lambda url, headers, body: accepted)
    patch.setattr(functions, "start", lambda operation, event: started.append(dict(event)))
    webhooks.create("https://crm.example.com/", [])
    return started


def first_bind() -> Act:
    """A rufus device is seen for the first time and bound."""
    rufus.install()
    return rufus.bound


def bind_by_user() -> Act:
    """A user binds a quectel device that was manufactured before, and has bound others."""
    quectel.World()
    return lambda: quectel.succeeded(quectel.as_user(quectel.ME))


def online_and_offline() -> Act:
    """A device connects and disconnects."""
    return traffic.connection()


def no_event() -> Act:
    """A rufus device is bound again by its account, which changes nothing that an event says."""
    rufus.install()
    rufus.bound()
    return lambda: rufus.bound(firmware="1.0.2")


CASES = (first_bind, bind_by_user, online_and_offline, no_event)
