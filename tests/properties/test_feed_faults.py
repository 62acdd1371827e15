"""Faults at the registry's writes: an event exists if and only if its change does.

For every write of every request, the process ends before or after it, or the write fails. If the tables are then as
before, there is no event. If they are as after an undisturbed request, all of its events are there. A request of
several writes has the events of those that were carried out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bindery.aws import functions
from bindery.registry import identity
from tests import aws_calls, calls, feed, moto_registry
from tests.http_api import invoke
from tests.properties import operators, streams, world
from tests.properties.faults import Killed
from tests.properties.streams import Stream
from tests.properties.test_faults import REPEATED, plain
from tests.properties.world import Event
from tests.tables import everything, without_acts

BY_OPERATOR = {
    "unban": ("ban",),
    "enable": ("disable",),
    "activate": ("deactivate",),
    "ban": (),
    "disable": (),
    "deactivate": (),
    "unbind": (),
    "key": (),
    "revoke-key": ("key",),
}
"""Operators' actions on a bound device, and those that must come first."""

ACTIONS = "action"

CONSTANT = frozenset({"cause", "operator", "reason", "members", "exclusive"})
"""Members of events that are not random."""

OTHERS = (
    ("connections", "DELETE", "connections/CAMERA/ada", None),
    ("devices", "DELETE", "devices/CAMERA/address", None),
    ("privacy", "DELETE", "privacy/ada", None),
    ("products", "DELETE", f"products/{world.PK}/barred/ada", None),
    ("users", "POST", "users/ada/disable", None),
    ("webhooks", "POST", "webhooks", {"url": "https://8.8.8.8/events", "types": []}),
)
"""Requests of operators that `operators.REQUESTS` does not have."""

_DEVICE = identity.opaque(identity.manufactured_device(world.PK, world.SN))


@dataclass
class Case:
    """A request, and those that must come first."""

    name: str
    request: Event
    before: tuple[tuple[str, Event], ...] = ()


def cases(here: world.World) -> dict[str, Case]:
    """Return every request by name."""
    bind = "quectel.bind_device_sn"
    connect = "remoteit.connect_device"
    found = {name: Case(name, {}) for name in world.OPERATIONS}
    for action, earlier in BY_OPERATOR.items():
        first = tuple(("admin.devices", _action(each)) for each in earlier)
        found[f"{ACTIONS} {action}"] = Case(
            "admin.devices", _action(action), ((bind, here.request(bind)), *first) if action != "unban" else first
        )
    for resource, method, path, body in (*operators.REQUESTS, *OTHERS):
        camera = identity.opaque(identity.company_device("acme", *world.CAMERA))
        before = ((connect, here.request(connect)),) if resource in ("connections", "privacy") else ()
        found[f"{method} {path}"] = Case(
            f"admin.{resource}", operators.request(method, path.replace("CAMERA", camera), body), before
        )
    return found


def _action(action: str) -> Event:
    body = {"reason": "lost"} if action in ("ban", "unbind") else None
    return operators.request("POST", f"devices/{_DEVICE}/{action}", body)


NAMES = [
    *world.OPERATIONS,
    *(f"{ACTIONS} {action}" for action in BY_OPERATOR),
    *(f"{method} {path}" for _, method, path, _ in (*operators.REQUESTS, *OTHERS)),
]


@pytest.fixture
def stream(here: world.World) -> Iterator[Stream]:
    with pytest.MonkeyPatch.context() as patch:
        # A webhook that is created gets the event of its creation.
        patch.setattr(functions, "start", lambda operation, event: None)
        yield streams.followed(patch)


@pytest.mark.parametrize("name", NAMES)
def test_event_exists_if_and_only_if_the_change_does(
    name: str, here: world.World, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases(here)[name]
    # The tables are read by the test too.
    monkeypatch.setitem(calls.MORE_ROUND_TRIPS, case.name, 1000)
    world.prepare(here, case.name)
    for earlier, event in case.before:
        assert invoke(earlier, event).status < 300
    request = case.request or here.request(case.name)
    stream.reset()
    begin, images, before = moto_registry.state(), dict(stream.images), plain(_changed())
    with _disturbed(stream=stream) as writes:
        invoke(case.name, request)
    after = plain(_changed())
    each = [_events(stream, start, end) for start, end in zip([0, *writes], writes, strict=False)]
    every = [event for events in each for event in events]
    for at in range(len(writes)):
        for kind in streams.KINDS:
            moto_registry.restore(begin)
            stream.restart(images)
            try:
                with _disturbed(at, kind, stream):
                    invoke(case.name, request)
            except Killed:
                pass
            found, now = _events(stream), plain(_changed())
            place = f"{kind}, write {at + 1} of {len(writes)}"
            if before != after:
                assert now != before or found == [], place
                assert now != after or found == every, place
            if kind != "fails":
                done = each[: at + (kind == "killed after")]
                assert found == [event for events in done for event in events], place
            elif len(writes) == 1:
                assert found == [], place
            if case.name in REPEATED or (name.startswith(ACTIONS) and not name.endswith(" key")):
                invoke(case.name, request)
                assert _events(stream) == every, f"repeated after: {place}"


@contextmanager
def _disturbed(at: int | None = None, kind: str = "", stream: Stream | None = None) -> Iterator[list[int]]:
    """Disturb a write to a table with a stream. Yield how many records there were after each of them."""
    ends: list[int] = []
    number = [0]

    def before(service: str, operation: str, request: dict[str, Any]) -> None:
        if service == "dynamodb" and any(feed._written(operation, request)):
            if number[0] == at and kind == "fails":
                number[0] += 1
                raise aws_calls.error("InternalServerError", 500)
            if number[0] == at and kind == "killed before":
                raise Killed

    def after(service: str, operation: str, request: dict[str, Any], _: Any) -> None:
        if service == "dynamodb" and any(feed._written(operation, request)):
            if number[0] == at and kind == "killed after":
                raise Killed
            number[0] += 1
            ends.append(len(stream.records) if stream else 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_calls, "before", [*aws_calls.before, before])
        patch.setattr(aws_calls, "after", [*aws_calls.after, after])
        yield ends


def _changed() -> dict[str, list[dict[str, Any]]]:
    """Return the tables with streams, without operators' acts, which are there only for the events."""
    tables = everything()
    return {"DEVICES": tables["DEVICES"], "BINDINGS": without_acts(tables), "DIRECTORY": tables["DIRECTORY"]}


def _events(stream: Stream, start: int = 0, end: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Record some of the changes. Return type and constant data of all events so far, each once, or of these."""
    first = 0 if end is None else len(stream.bus.published)
    for record in filter(feed.passed, stream.records[start:end]):
        assert feed.handle([record]) == []
    found = {event["id"]: event for event in stream.bus.published[first:]}
    return [
        (event["type"], {name: event["data"][name] for name in CONSTANT & event["data"].keys()})
        for event in found.values()
    ]
