"""The streams of the tables in moto: capture the record of every change, and give them to the recorder."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import pytest
from moto.dynamodb.models.dynamo_type import DynamoType

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.aws.errors import ServiceError
from bindery.core import clock, env
from bindery.feed import bus, catalogue, chain, changes, people, recording
from bindery.registry import identity, items
from tests import aws_calls, calls, feed_examples, listings, moto_registry
from tests.tables import stored
from tools import template
from tools.check_history import Chains
from tools.local import event_filters

Record = dict[str, Any]
Item = dict[str, Any]

STREAMS = (Table.DEVICES, Table.BINDINGS, Table.DIRECTORY)
_WRITES = ("PutItem", "UpdateItem", "DeleteItem")
_STREAM = "arn:aws:dynamodb:eu-central-1:123456789012:table/{}/stream/2026-12-01T00:00:00.000"


@dataclass
class Bus:
    """Client of the event bus that keeps what is published. `answers` are its next responses."""

    published: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def connect(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Answer a call of EventBridge."""
        assert operation == "PutEvents"
        for entry in request["Entries"]:
            calls.published(entry["EventBusName"])
        self.requests.append(copy.deepcopy(request))
        answer = self.answers.pop(0) if self.answers else [None] * len(request["Entries"])
        if isinstance(answer, Exception):
            raise answer
        taken = [entry for entry, code in zip(request["Entries"], answer, strict=True) if code is None]
        self.published += [json.loads(entry["Detail"]) for entry in taken]
        results = [{"EventId": "e"} if code is None else {"ErrorCode": code} for code in answer]
        return {"FailedEntryCount": len(request["Entries"]) - len(taken), "Entries": results}


@dataclass
class Feed:
    """Captured stream records, and the recorder."""

    bus: Bus
    records: list[Record] = field(default_factory=list)
    read: int = 0
    """Number of records that the recorder has handled."""

    def pending(self) -> list[Record]:
        """Return the records that the recorder has not got yet, and count them as handled."""
        found, self.read = self.records[self.read :], len(self.records)
        return found

    def record(self) -> list[Item]:
        """Record all pending changes, and return their events in the order in which they were recorded."""
        first = len(self.bus.published)
        for _, group in groupby(self.pending(), key=itemgetter("eventSourceARN")):
            assert handle(list(group)) == []
        return self.bus.published[first:]

    def expire(self) -> None:
        """Remove expired bindings as time to live does."""
        for item in stored(Table.BINDINGS):
            if item.get("expires_at", clock.seconds()) < clock.seconds():
                dynamodb.write(Key[Any](Table.BINDINGS, item["pk"], item["sk"]).delete())
                self.records[-1]["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}

    def events(self) -> list[tuple[str, Item]]:
        """Record all pending changes, and return type and data of their events, without `device` and `api`."""
        return [(event["type"], _without(event["data"])) for event in self.record()]

    def types(self) -> list[str]:
        """Record all pending changes, and return the types of their events."""
        return [event["type"] for event in self.record()]


def handle(records: list[Record]) -> list[str]:
    """Give records to the real handler, ten at a time. Return the sequence numbers to repeat of the last batch."""
    handler = template.function("feed.record").load()
    failed: list[str] = []
    for start in range(0, len(records), 10):
        with calls.recording("feed.record"):
            answer = handler({"Records": copy.deepcopy(records[start : start + 10])}, SimpleNamespace())
        assert list(answer) == ["batchItemFailures"]
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    return failed


def captured(patch: pytest.MonkeyPatch) -> Feed:
    """Capture every change from now on."""
    feed = Feed(Bus())
    before: dict[tuple[str, str, str], Item | None] = {}

    def remember(service: str, operation: str, request: dict[str, Any]) -> None:
        before.clear()
        if service == "dynamodb":
            before.update({key: _now(*key) for key in _written(operation, request)})

    def capture(service: str, operation: str, request: dict[str, Any], answer: Any) -> None:
        if service == "dynamodb" and not isinstance(answer, ServiceError):
            for key, old in before.items():
                if (new := _now(*key)) != old:
                    feed.records.append(_record(len(feed.records) + 1, key, old, new))

    patch.setattr(aws_calls, "before", [*aws_calls.before, remember])
    patch.setattr(aws_calls, "after", [*aws_calls.after, capture])
    patch.setattr(bus, "client", lambda: feed.bus)
    return feed


def check_history(feed: Feed) -> None:
    """Check every chain and list, and that to record everything again changes nothing but publishes the same events."""
    feed.read = 0
    feed.record()
    listings.check()
    history = stored(Table.HISTORY)
    exported: Chains = Chains()
    for events in chains().values():
        assert chain.verify(events) is None
        assert list(exported.read("export", [json.dumps(chain.as_public(event)) for event in events])) == []
    problems = list(map(str, exported.check()))
    assert problems == []
    published = {event["id"]: event for event in feed.bus.published}
    for event in published.values():
        kind = catalogue.TYPES[event["type"]]
        assert kind.members.keys() - kind.optional <= event["data"].keys() <= kind.members.keys(), event
    feed_examples.hold(published.values())
    again = Feed(feed.bus, feed.records)
    people.clear_cache()
    assert {event["id"]: event for event in again.record()} == published
    assert stored(Table.HISTORY) == history
    for record in feed.records:
        assert passed(record) or not list(recording.derive(changes.parse(record))), record
    assert {event["id"] for events in chains().values() for event in events} >= published.keys()


def passed(record: Record) -> bool:
    """Return True if a record passes the filter of its table's stream."""
    name = record["eventSourceARN"].split("/")[1].removesuffix("Table")
    return event_filters.passes(f"{name}Table", record)


def chains() -> dict[str, list[items.Event]]:
    """Return the events of every chain."""
    events: Any = [item for item in stored(Table.HISTORY) if item["pk"].startswith("chain#")]
    return {name: list(found) for name, found in groupby(events, key=itemgetter("chain"))}


def person(holder: str) -> dict[str, str]:
    """Return a user or customer, given as a holder, as events name them."""
    found = people.find(holder)
    assert found is not None
    return {"kind": holder.partition("#")[0], "id": found}


def user(uid: str) -> dict[str, str]:
    return person(identity.user_holder(uid))


def _without(data: Item) -> Item:
    return {name: value for name, value in data.items() if name not in ("device", "api")}


def _written(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield table, pk and sk of the items of the streams that a call writes."""
    writes = [(operation, request)] if operation in _WRITES else []
    if operation == "TransactWriteItems":
        writes = [write for each in request["TransactItems"] for write in each.items() if write[0] != "ConditionCheck"]
    streams = [env.read(table.value) for table in STREAMS]
    for _, write in writes:
        key = write.get("Key") or write["Item"]
        if write["TableName"] in streams:
            yield write["TableName"], key["pk"]["S"], key.get("sk", {"S": ""})["S"]


def _now(table: str, pk: str, sk: str) -> Item | None:
    found = moto_registry.tables()[table].get_item(DynamoType({"S": pk}), DynamoType({"S": sk}) if sk else None)
    return None if found is None else json.loads(json.dumps(found.to_json()["Attributes"]))


def _record(number: int, key: tuple[str, str, str], old: Item | None, new: Item | None) -> Record:
    """Return a record as Lambda gets it."""
    table, pk, sk = key
    images = {"OldImage": old, "NewImage": new}
    return {
        "eventID": f"{number:032x}",
        "eventName": "INSERT" if old is None else "REMOVE" if new is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": clock.seconds(),
            "Keys": {"pk": {"S": pk}} | ({"sk": {"S": sk}} if sk else {}),
            **{name: image for name, image in images.items() if image is not None},
            "SequenceNumber": f"{number:021}",
            "SizeBytes": 100,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": _STREAM.format(table),
    }
