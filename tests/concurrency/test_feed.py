"""The recorder, killed after any of its calls or running twice at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bindery.feed import chain, people
from bindery.registry.bindings import Mode
from tests import aws_calls, moto_registry
from tests import feed as streams
from tests.feed import Feed, Record, chains, check_history, handle
from tests.quectel import DK, ME, OTHER, PK, THIRD, World, as_user, ask, succeeded

OWNER = {"S": "owner"}
ENTRY = {"S": f"device#{PK}#{DK}"}


class Killed(BaseException):
    """The process ended."""


@pytest.fixture
def feed(registry: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Capture every change of the test."""
    return streams.captured(monkeypatch)


@contextmanager
def killed_after(number: int, feed: Feed) -> Iterator[list[str]]:
    """End the process after a number of calls to DynamoDB and the event bus."""
    made: list[str] = []

    def count(name: str) -> None:
        made.append(name)
        if len(made) == number:
            raise Killed

    call = feed.bus.call

    def put(operation: str, **request: Any) -> Any:
        answer = call(operation, **request)
        count(operation)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_calls, "after", [*aws_calls.after, lambda service, operation, *_: count(operation)])
        patch.setattr(feed.bus, "call", put)
        yield made


def binding_with_a_share(feed: Feed) -> list[Record]:
    """Return the records of a binding in rotating mode, its share, and the binding that replaces it."""
    World(Mode.ROTATING)
    succeeded(as_user(ME))
    code = ask(ME, "share_info", pk=PK, dk=DK).json()["data"]
    ask(OTHER, "share_device", shareCode=code)
    succeeded(as_user(THIRD))
    return [record for record in feed.pending() if "BindingsTable" in record["eventSourceARN"]]


EVERYTHING = [
    *("device.registered", "device.bound", "device.shared", "device.share_accepted"),
    *("device.share_ended", "device.unbound", "device.bound"),
]


def test_recorder_killed_after_any_call_completes_when_repeated(feed: Feed) -> None:
    records = binding_with_a_share(feed)
    begin = moto_registry.state()
    for number in range(1, 1000):
        moto_registry.restore(begin)
        feed.bus.published.clear()
        try:
            with killed_after(number, feed):
                handle(records)
        except Killed:
            people.clear_cache()
            handle(records)
        else:
            break
        ((_, events),) = chains().items()
        assert [event["type"] for event in events] == EVERYTHING
        assert chain.verify(events) is None
        assert {event["id"] for event in feed.bus.published} == {event["id"] for event in events}
    assert number > 20
    check_history(feed)


def test_recorders_at_the_same_time_append_in_turn(feed: Feed) -> None:
    World()
    succeeded(as_user(ME))
    for name in ("Door", "Gate"):
        ask(ME, "set_device_info", pk=PK, dk=DK, deviceName=name)
    named = [record for record in feed.pending() if record["dynamodb"]["Keys"].get("sk") in (OWNER, ENTRY)]
    bound, _, door, gate = named
    begin = moto_registry.state()
    # The first two append the first events of the chain; for the third, the pseudonym is cached.
    for one, other, earlier, calls in ((bound, door, [], 6), (bound, bound, [], 6), (door, gate, [bound], 2)):
        for position in range(1, calls + 1):
            moto_registry.restore(begin)
            handle(earlier)
            with _interrupted(position, lambda other=other: handle([other])):
                handle([one])
            (events,) = chains().values()
            assert len(events) == 1 + len({record["eventID"] for record in (*earlier, one, other)})
            assert events[0]["type"] == "device.registered"
            assert chain.verify(events) is None
    check_history(feed)


@contextmanager
def _interrupted(position: int, happen: Callable[[], object]) -> Iterator[None]:
    """Run `happen` just before a call."""
    left = [position]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            happen()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_calls, "before", [*aws_calls.before, count])
        yield
    assert left[0] <= 0, "there are fewer calls"
