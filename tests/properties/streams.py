"""The tables' streams as Lambda may deliver them at worst, and the history that the recorder makes of them.

A stream keeps the order of the records of one partition key. Those of different keys and tables can arrive in any
order, late, and more than once, and the recorder can be killed or fail at each of its calls.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any

import pytest

from bindery.aws.errors import ServiceError
from bindery.feed import bus, chain, people
from tests import aws_calls, feed, moto_registry
from tests.feed import Bus, Item, Record
from tests.properties.faults import Killed
from tools.check_history import Chains

Place = tuple[str, str, str]
"""Table, partition key and sort key of an item."""

BATCH = 10
KINDS = ("killed before", "killed after", "fails")


class Stream:
    """The records of every change since the last reset.

    The images before a change are kept from the change before, so that requests whose calls alternate can be followed.
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.reset()

    def reset(self) -> None:
        """Begin with the current content of the tables."""
        self.restart({})
        for table in feed.STREAMS:
            name = feed.env.read(table.value)
            for item in moto_registry.tables()[name].all_items():
                image = json.loads(json.dumps(item.to_json()["Attributes"]))
                self.images[name, image["pk"]["S"], image.get("sk", {"S": ""})["S"]] = image

    def restart(self, images: Mapping[Place, Item | None]) -> None:
        """Begin with an earlier content of the tables."""
        self.records: list[Record] = []
        self.images = dict(images)
        self.bus.published.clear()

    def capture(self, service: str, operation: str, request: dict[str, Any], answer: Any) -> None:
        """Add the records of a call that succeeded."""
        if service != "dynamodb" or isinstance(answer, ServiceError):
            return
        for place in feed._written(operation, request):
            old, new = self.images.get(place), feed._now(*place)
            self.images[place] = new
            if old != new:
                self.records.append(feed._record(len(self.records) + 1, place, old, new))


def followed(patch: pytest.MonkeyPatch) -> Stream:
    """Follow every change from now on."""
    published = Bus()
    patch.setattr(bus, "client", lambda: published)
    stream = Stream(published)
    patch.setattr(aws_calls, "after", [*aws_calls.after, stream.capture])
    return stream


def batches(records: Sequence[Record], chance: Random) -> Iterator[list[Record]]:
    """Yield the records in a random order that streams can have: that of each partition key is kept.

    Some partitions are late: they follow all others. Some batches are repeated, at once or later.
    """
    waiting: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in filter(feed.passed, records):
        waiting[record["eventSourceARN"], record["dynamodb"]["Keys"]["pk"]["S"]].append(record)
    late = {partition for partition in waiting if chance.random() < 0.2}
    delivered: list[list[Record]] = []
    while waiting:
        ready = sorted(waiting.keys() - late) or sorted(waiting)
        table = chance.choice(ready)[0]
        batch: list[Record] = []
        for _ in range(chance.randint(1, BATCH)):
            partitions = [each for each in ready if each[0] == table and each in waiting]
            if not partitions:
                break
            partition = chance.choice(partitions)
            batch.append(waiting[partition].pop(0))
            if not waiting[partition]:
                del waiting[partition]
        delivered.append(batch)
        yield batch
        if chance.random() < 0.2:
            yield chance.choice(delivered)


def deliver(stream: Stream, chance: Random, *, every_call: bool) -> int:
    """Record the stream's changes, in spite of failures. Return the number of these.

    A batch fails at one random call, or if `every_call` at each of its calls in turn, until none is left.
    """
    failures = 0
    for batch in batches(stream.records, chance):
        left = batch
        for attempt in count(1):
            number = attempt if every_call else chance.randint(1, 15) if attempt == 1 else 10_000
            left, failed = _attempt(stream, left, number, chance.choice(KINDS))
            failures += failed
            if not left:
                break
    return failures


def _attempt(stream: Stream, batch: list[Record], number: int, kind: str) -> tuple[list[Record], bool]:
    """Deliver a batch, with a failure of one of the calls. Return the records to deliver again, and if it failed."""
    with _failing(stream, number, kind) as calls:
        try:
            failed = feed.handle(batch)
        except Killed:
            people.clear_cache()
            return batch, True
    numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
    return (batch[numbers.index(failed[0]) :] if failed else []), len(calls) >= number


@contextmanager
def _failing(stream: Stream, number: int, kind: str) -> Iterator[list[str]]:
    """Let a call to DynamoDB or to the event bus fail, or end the process before or after it."""
    made: list[str] = []
    put = stream.bus.call

    def before(service: str, operation: str, *_: Any) -> None:
        made.append(operation)
        if len(made) == number and kind != "killed after":
            raise Killed if kind == "killed before" else aws_calls.error("InternalServerError", 500)

    def after(*_: Any) -> None:
        if len(made) == number and kind == "killed after":
            raise Killed

    def publish(operation: str, **request: Any) -> Any:
        before("events", operation)
        answer = put(operation, **request)
        after()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_calls, "before", [*aws_calls.before, before])
        patch.setattr(aws_calls, "after", [*aws_calls.after, after])
        patch.setattr(stream.bus, "call", publish)
        yield made


def recorded(stream: Stream) -> dict[str, list[Item]]:
    """Return the events of each chain, once these are intact, plausible, and published as they are."""
    found = {name: list(map(chain.as_public, events)) for name, events in feed.chains().items()}
    lines = [json.dumps(event) for events in found.values() for event in events]
    exported = Chains()
    assert [*map(str, exported.read("export", lines)), *map(str, exported.check())] == []
    every = {event["id"]: event for events in found.values() for event in events}
    assert len(every) == len(lines)
    assert {event["id"]: event for event in stream.bus.published} == every
    assert all(event in every.values() for event in stream.bus.published)
    return found
