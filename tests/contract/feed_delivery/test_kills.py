"""A kill before or after any call loses no event and keeps the order."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bindery.feed import cursors
from bindery.feed.sending import Outcome
from tests import aws_calls, moto_registry
from tests.feed_receiver import DEVICE, Feed, cursor
from tests.http_api import admin


class Killed(BaseException):
    """The process ends."""


@contextmanager
def killed(number: int, *, answered: bool) -> Iterator[list[int]]:
    """Kill at the call with this number, before it is made or after its response. Yield the number of calls."""
    made: list[int] = []

    def call(service: str, *_: object) -> None:
        if service == "dynamodb":
            made.append(len(made) + 1)
            if len(made) == number:
                raise Killed

    with pytest.MonkeyPatch.context() as patch:
        observed = "after" if answered else "before"
        patch.setattr(aws_calls, observed, [*getattr(aws_calls, observed), call])
        yield made


@pytest.mark.parametrize("answered", [False, True])
def test_kill_during_a_delivery_loses_nothing(feed: Feed, answered: bool) -> None:
    webhook, _ = feed.subscribe()
    feed.receiver.answers(200)
    feed.record("device.bound", "device.unbound")
    waiting, began, started = moto_registry.state(), feed.clock.now, feed.started.pop()
    with killed(0, answered=answered) as calls:
        feed.deliver(started)
    assert len(calls) == 9
    for number in calls:
        moto_registry.restore(waiting)
        feed.clock.now = began
        feed.receiver.clear()
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.deliver(started)
        feed.after(cursors.LOCK)
        assert feed.receiver.sequences in ([1, 2], [1, 1, 2], [1, 2, 2])
        assert len({request.id for request in feed.receiver.requests}) == 2
        assert cursor(webhook).keys() == {"webhook", "chain", "wanted", "next", "expires_at"}
        log = admin("webhooks", "GET", f"webhooks/{webhook}/deliveries").json()["items"]
        assert len(log) == 2


@pytest.mark.parametrize("answered", [False, True])
def test_kill_after_a_failure_loses_nothing(feed: Feed, answered: bool) -> None:
    feed.subscribe()
    feed.record("device.bound", "device.unbound")
    waiting, began, started = moto_registry.state(), feed.clock.now, feed.started.pop()
    for number in range(1, 5):
        moto_registry.restore(waiting)
        feed.clock.now = began
        feed.receiver.clear()
        feed.receiver.answers(500)
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.deliver(started)
        feed.receiver.clear()
        feed.receiver.answers(Outcome(200))
        feed.clock.pass_by(cursors.LOCK)
        feed.deliver(started)
        assert feed.receiver.sequences == [1, 2]


@pytest.mark.parametrize("answered", [False, True])
def test_kill_before_webhooks_are_woken_is_repaired_by_the_retry(feed: Feed, answered: bool) -> None:
    webhooks = [feed.subscribe()[0] for _ in range(2)]
    events = [feed.append("device.bound"), feed.append("device.unbound")]
    recorded = moto_registry.state()
    for number in range(1, 4):
        moto_registry.restore(recorded)
        feed.receiver.clear()
        with killed(number, answered=answered), pytest.raises(Killed):
            feed.wake(events)
        feed.wake(events)
        for webhook in webhooks:
            feed.deliver({"webhook": webhook, "chain": DEVICE})
        assert feed.receiver.sequences == [1, 2, 1, 2]
