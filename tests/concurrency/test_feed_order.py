"""Events of parallel requests: in every schedule, a device's events are in an order of the acknowledged changes.

A change that was acknowledged before another request began comes first. The events are those of the same requests one
after the other, and each acknowledged request has its own: its type and user are known from the request.
"""

import json
import re
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
from tests.concurrency.test_quectel import GIVEN
from tests.properties import streams
from tests.properties.scale import FULL
from tests.properties.streams import Stream
from tests.quectel import DEVICE, ME, OTHER, THIRD, World

pytestmark = pytest.mark.usefixtures("registry")

Events = list[tuple[str, str, dict[str, Any]]]
"""Chain, type and data of events."""

OF_REQUESTS = {
    r"(?P<user>.+) binds": ("device.bound",),
    r"(?P<user>.+): share_device": ("device.share_accepted",),
    r"(?P<user>.+) connects to .+": ("connection.opened",),
    r"(?P<user>.+): unbundling_device_dk": ("device.unbound", "device.share_ended"),
    r"unbind": ("device.unbound", "device.share_ended"),
    r"ban": ("device.banned",),
}
"""By name of a request: the type of its event, and of an event that it can have instead."""

CHOSEN = (
    "two users bind",
    "two users bind another user's device",
    "a bind and a ban",
    "a bind and an unbind",
    "another's bind and an unbind",
    "a bind and the end of another user's binding",
    "an unbind and a ban",
    "an unbind and an end",
    "an accept and an unbind",
    "an accept and a ban",
    "an accept and an end",
    "a share given back and an unbind",
    "a share given back and another's bind",
    "a share given back and an end",
    "a bind, an unbind and a bind",
    "a connect and a ban",
    "a connect and an unbind",
    "a connect again and an unbind",
    "a connect and another's bind",
    "a connect and a stop",
)
"""Cases of `make promises`. `make proof` runs all."""


def of_quectel(case: str, mode: Mode) -> list[Request]:
    given, asked = test_quectel.CASES[case]
    World(mode)
    GIVEN[given](mode)
    return asked(mode)


def of_remoteit(case: str, mode: Mode) -> list[Request]:
    given, asked = test_remoteit.CASES[case]
    test_remoteit.installation(mode)
    test_remoteit.GIVEN[given]()
    return asked(mode)


COMMUTING = ("the user's own stop and the address withdrawn",)
"""Cases with changes that are ordered, but could have been made in either order with the same result."""

CASES: dict[str, Callable[[str, Mode], list[Request]]] = {
    **dict.fromkeys(test_quectel.CASES, of_quectel),
    **dict.fromkeys(test_remoteit.CASES, of_remoteit),
}
# An operator's request that changes nothing is acknowledged too, so it need not have an event.
del CASES["a ban and an unban"]


@pytest.fixture
def stream(registry: None) -> Iterator[Stream]:
    with pytest.MonkeyPatch.context() as patch:
        yield from _following(patch)


def _following(patch: pytest.MonkeyPatch) -> Iterator[Stream]:
    with streams.followed(patch) as stream:
        yield stream


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
        if FULL or (case in CHOSEN and (mode is not Mode.MULTI or "share" in case or "bind" in case))
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
        own_events(run, events)
        served = [number for number, answer in enumerate(run.answers) if not answer.again]
        possible = [order for order in permutations(served) if schedules._possible(run, order)]
        for order in possible:
            if order not in serial:
                serial[order] = schedules.in_turn(requests, order, before), recorded()
        alone = [(_told(run, served), expected) for run, expected in map(serial.__getitem__, possible)]
        if case in COMMUTING:
            events, alone = _sorted(events), [(told, _sorted(expected)) for told, expected in alone]
        assert (_told(run, served), events) in alone, f"{run}\n{events}\n{alone}"


def own_events(run: Run, events: Events) -> None:
    """Check that each acknowledged request has an event, and that these are in a possible order."""
    named = {people.pseudonym(identity.user_holder(uid), clock.now()): uid for uid in (ME, OTHER, THIRD)}
    made = [(kind, _maker(kind, data, named)) for chain, kind, data in events if chain == DEVICE]
    own: dict[int, int] = {}
    for number, request in enumerate(run.requests):
        meant = _meant(request)
        if not meant:
            continue
        alike = [other for other, each in enumerate(run.requests) if _meant(each) == meant]
        acknowledged = sum(run.answers[each].succeeded for each in alike)
        places = [place for place, event in enumerate(made) if event == meant[0]]
        instead = sum(event in meant[1:] for event in made)
        assert len(places) <= acknowledged <= len(places) + instead, f"{request.name}: {run}\n{events}"
        if len(places) == len(alike) == 1:
            own[number] = places[0]
    for one in own:
        assert all(own[one] < own[other] for other in own if run.precedes(one, other)), f"{run}\n{events}"


def _meant(request: Request) -> list[tuple[str, str]]:
    """Return the possible events of a request: type and who made it."""
    for pattern, kinds in OF_REQUESTS.items():
        if found := re.fullmatch(pattern, request.name):
            return [(kind, found.groupdict().get("user", "an operator")) for kind in kinds]
    return []


def _maker(kind: str, data: dict[str, Any], named: dict[str, str]) -> str:
    """Return who made the change of an event."""
    if "operator" in data:
        return "an operator"
    if data.get("cause") == "evicted":
        return "another user"
    person = data.get("user" if kind != "device.unbound" else "holder") or data.get("holder")
    return named[person["id"]] if person else "nobody"


def _sorted(events: Events) -> Events:
    return sorted(events, key=str)


def _told(run: Run, served: Sequence[int]) -> list[Answer]:
    return [run.answers[number] for number in served]
