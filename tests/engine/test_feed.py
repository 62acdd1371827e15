"""The local server's change feed, with the registry's changes and a function of the test."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from bindery.aws import dynamodb
from bindery.registry import items
from tests.engine.changes import kill, last, put, use
from tools.local import event_filters, feed
from tools.local.engine import Engine

Event = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "FIRST_PAUSE", 0)


class Function:
    """Notes the invocations, and does what `then` says."""

    def __init__(self, then: Callable[[list[str]], Any] = lambda keys: None) -> None:
        self.invocations: list[list[str]] = []
        self.ids: list[str] = []
        self._then = then

    def __call__(self, event: Event) -> Any:
        keys = [record["dynamodb"]["Keys"]["pk"]["S"].rpartition("#")[2] for record in event["Records"]]
        self.invocations.append(keys)
        self.ids += [record["eventID"] for record in event["Records"]]
        return self._then(keys)


def run(engine: Engine, function: Function, until: Callable[[], bool]) -> None:
    """Run the feed until a condition is met."""

    async def run_until() -> None:
        task = asyncio.create_task(feed.Feed(engine.endpoint, function).run())
        while not until() and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    asyncio.run(run_until())


def run_to(engine: Engine, function: Function, position: int) -> None:
    run(
        engine,
        function,
        lambda: dynamodb.get(items.FEED_POSITION) == {**items.FEED_POSITION.attributes(), "position": position},
    )


def fail(_: object) -> None:
    raise RuntimeError("broken")


def test_changes_arrive_in_order_in_batches_of_one_table(engine: Engine):
    start = last(engine)
    put(1)
    put(2)
    put(3, "DevicesTable")
    put(4, "DirectoryTable", changed_at=1)
    put(5)
    function = Function()
    run_to(engine, function, start + 5)
    assert function.invocations == [["1", "2"], ["3"], ["4"], ["5"]]
    put(6)
    again = Function()
    run_to(engine, again, start + 6)
    assert again.invocations == [["6"]]


def test_new_devices_arrive_at_the_same_time(engine: Engine):
    start = last(engine)
    for number in range(40):
        put(number, "DevicesTable")
    both, first = threading.Barrier(2, timeout=60), [1, 2]

    def meet(_: object) -> None:
        if first:
            first.pop()
            both.wait()

    function = Function(meet)
    run_to(engine, function, start + 40)
    assert sorted(int(key) for keys in function.invocations for key in keys) == list(range(40))


def test_filtered_changes_do_not_arrive(engine: Engine):
    start = last(engine)
    put(1, "DevicesTable")
    put(1, "DevicesTable", serial="x")
    put(2, sk="guesses#2026-12-01")
    put(3, sk="at#1")
    put(4)
    function = Function()
    run_to(engine, function, start + 5)
    assert function.invocations == [["1"], ["4"]]


def test_batch_is_repeated_from_the_record_that_failed(engine: Engine):
    start = last(engine)
    for number in range(4):
        put(number)
    failures = ["2", "2"]

    def report(keys: list[str]) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": f"{start + 1 + int(failures.pop()):021}"}]} if failures else {}

    function = Function(report)
    run_to(engine, function, start + 4)
    assert function.invocations == [["0", "1", "2", "3"], ["2", "3"], ["2", "3"]]


@pytest.mark.parametrize("reported", [True, False])
def test_failing_record_is_given_up_alone(engine: Engine, caplog: pytest.LogCaptureFixture, reported: bool):
    start = last(engine)
    for number in range(5):
        put(number)
    handled: set[str] = set()

    def refuse_two(keys: list[str]) -> Any:
        if "2" not in keys:
            handled.update(keys)
            return None
        if not reported:
            raise RuntimeError("broken")
        handled.update(keys[: keys.index("2")])
        return {"batchItemFailures": [{"itemIdentifier": f"{start + 3:021}"}]}

    function = Function(refuse_two)
    run_to(engine, function, start + 5)
    assert handled == {"0", "1", "3", "4"}
    attempts = [keys for keys in function.invocations if "2" in keys and (reported or len(keys) == 1)]
    assert len(attempts) == feed.ATTEMPTS
    (message,) = [record.getMessage() for record in caplog.records if "gave up" in record.getMessage()]
    said, _, batch = message.partition(": ")
    assert said == "feed.record gave up a change after 20 attempts"
    region = boto3.client("dynamodb").meta.region_name
    assert json.loads(batch) == {
        "startSequenceNumber": f"{start + 3:021}",
        "endSequenceNumber": f"{start + 3:021}",
        "batchSize": 1,
        "streamArn": f"arn:aws:dynamodb:{region}:000000000000:table/BindingsTable/stream/2026-01-01T00:00:00.000",
    }


def test_change_arrives_again_after_a_kill(environment: pytest.MonkeyPatch, tmp_path: Path):
    with Engine(tmp_path) as first:
        use(first, environment)
        put(1)
        put(2)
        killed = Function(lambda keys: kill(first))
        # The position cannot be stored any more.
        run(first, killed, lambda: first.process.poll() is not None)
    assert killed.invocations == [["1", "2"]]
    with Engine(tmp_path) as second:
        use(second, environment)
        repeated = Function()
        run_to(second, repeated, 2)
        assert repeated.ids == killed.ids
        put(3)
    with Engine(tmp_path) as third:
        use(third, environment)
        following = Function()
        run_to(third, following, 3)
        assert following.invocations == [["3"]]


def test_unexpected_response_of_the_registry_ends_the_feed(engine: Engine):
    with pytest.raises(RuntimeError, match=r"^the registry responded with 403$"):
        asyncio.run(feed.Feed(f"{engine.endpoint}/nowhere", Function()).run())


def test_unsupported_filter_rule_is_an_error():
    with pytest.raises(ValueError, match=r"^the local server does not support the filter rule"):
        event_filters.matches([{"a": [{"numeric": ["=", 1]}]}], {"a": 1})


def test_schedule_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(feed, "SCHEDULE_SECONDS", 0)
    events: list[Any] = []

    async def run_thrice() -> None:
        task = asyncio.create_task(feed.deliver(lambda event: (events.append(event), fail(event))))
        while len(events) < 3:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(run_thrice())
    assert events[:3] == [{}, {}, {}]
    assert {record.getMessage() for record in caplog.records} == {"feed.deliver failed"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
