"""Events of parallel requests: in every schedule, a device's events are in an order of the acknowledged changes.

A change that was acknowledged before another request began comes first. The events are those of the same requests one
after the other, whose events `tests.properties.test_feed` compares with the responses.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from random import Random
from typing import Any

import pytest

from bindery.core import clock
from bindery.feed import people
from bindery.registry import identity
from bindery.registry.bindings import Mode
from tests import moto_registry
from tests.concurrency import schedules, test_quectel, test_remoteit
from tests.concurrency.schedules import Answer, Request, Run
from tests.properties import streams
from tests.properties.scale import FULL
from tests.properties.streams import Stream
from tests.quectel import ME, OTHER, THIRD, World

pytestmark = pytest.mark.usefixtures("registry")

Events = list[tuple[str, str, dict[str, Any]]]
"""Chain, type and data of events."""

CHOSEN = (
    *("nothing: bind + another's bind", "thirds: bind + another's bind", "nothing: bind + ban", "mine: bind + unbind"),
    *("mine: unbind + another's bind", "others: bind + another's end", "mine: unbind + ban", "mine: unbind + end"),
    *("mine: accept + unbind", "mine: accept + ban", "mine: accept + end", "shared: another's unbind + unbind"),
    *("shared: another's unbind + a third's bind", "shared: another's unbind + end"),
    *("mine: bind + unbind + another's bind", "alone: connect + ban", "alone: connect + unbind"),
    *("connected: connect + unbind", "alone: connect + another's bind", "connected: connect + stop"),
)
"""Cases of `make promises`. `make proof` runs all."""


def of_quectel(case: str, mode: Mode) -> list[Request]:
    given, asked = schedules.parts(case)
    World(mode)
    test_quectel.GIVEN[given](mode)
    return [test_quectel.REQUESTS[name](mode) for name in asked]


def of_remoteit(case: str, mode: Mode) -> list[Request]:
    given, asked = schedules.parts(case)
    test_remoteit.installation(mode)
    test_remoteit.GIVEN[given]()
    return [test_remoteit.REQUESTS[name](mode) for name in asked]


COMMUTING = ("connected: own stop + withdraw all",)
"""Cases with changes that are ordered, but could have been made in either order with the same result."""

CASES: dict[str, Callable[[str, Mode], list[Request]]] = {
    **dict.fromkeys(test_quectel.CASES, of_quectel),
    **dict.fromkeys(test_remoteit.CASES, of_remoteit),
}
# An operator's request that changes nothing is acknowledged too, so it need not have an event.
del CASES["banned: ban + unban"]


@pytest.fixture
def stream(registry: None) -> Iterator[Stream]:
    with pytest.MonkeyPatch.context() as patch:
        yield streams.followed(patch)


class Recorder:
    """Records the changes of a run. The same changes are recorded once."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._known: dict[str, Events] = {}

    def events(self) -> Events:
        """Return the events of the changes since the last call, in the order of each chain."""
        records = self.stream.records
        text = json.dumps(records)
        if text not in self._known:
            streams.deliver(self.stream, Random(0), every_call=False)
            found = streams.recorded(self.stream)
            self._known[text] = [
                (name, event["type"], event["data"]) for name in sorted(found) for event in found[name]
            ]
        return self._known[text]


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        (case, mode)
        for case in CASES
        for mode in Mode
        if FULL or (case in CHOSEN and (mode is not Mode.MULTI or "bind" in case))
    ],
)
def test_events_are_in_an_order_of_the_acknowledged_changes(case: str, mode: Mode, stream: Stream) -> None:
    requests = tuple(CASES[case](case, mode))
    for uid in (ME, OTHER, THIRD):
        people.pseudonym(identity.user_holder(uid), clock.now())
    stream.reset()
    recorder, before, images = Recorder(stream), moto_registry.state(), dict(stream.images)
    serial: dict[tuple[int, ...], tuple[Run, Events]] = {}

    def recorded() -> Events:
        events = recorder.events()
        stream.restart(images)
        return events

    for run in schedules.explore(requests, alike=False):
        events = recorded()
        served = [number for number, answer in enumerate(run.answers) if not answer.again]
        possible = [order for order in permutations(served) if schedules._possible(run, order)]
        for order in possible:
            if order not in serial:
                serial[order] = schedules.in_turn(requests, order, before), recorded()
        alone = [(_told(run, served), expected) for run, expected in map(serial.__getitem__, possible)]
        if case in COMMUTING:
            events, alone = _sorted(events), [(told, _sorted(expected)) for told, expected in alone]
        assert (_told(run, served), events) in alone, f"{run}\n{events}\n{alone}"


def _sorted(events: Events) -> Events:
    return sorted(events, key=str)


def _told(run: Run, served: Sequence[int]) -> list[Answer]:
    return [run.answers[number] for number in served]
