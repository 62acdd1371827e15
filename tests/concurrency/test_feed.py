"""Two recorders at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bindery.feed import chain
from tests import aws_calls, moto_registry
from tests import feed as streams
from tests.feed import Feed, chains, check_history, handle
from tests.quectel import DK, ME, PK, World, as_user, ask, succeeded

OWNER = {"S": "owner"}
ENTRY = {"S": f"device#{PK}#{DK}"}


@pytest.fixture
def feed(registry: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    """Capture every change of the test."""
    return streams.captured(monkeypatch)


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
