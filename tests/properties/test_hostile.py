"""Hostile input, at every operation: never an error of ours, never a partial write, never internal text."""

import pytest

from tests.http_api import invoke
from tests.properties import hostile, operators, world
from tests.properties.measured import most
from tests.properties.staging import refused
from tests.properties.work import CPU, watching


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_no_hostile_request_breaks_an_operation_or_changes_anything_when_it_is_refused(
    name: str, here: world.World, written: list[str], errors: list[str]
) -> None:
    world.prepare(here, name)
    tried = 0
    for what, event in hostile.everything(here.request(name)):
        written.clear()
        with watching() as work:
            answer = invoke(name, event)
        if tried:  # the first one is a cold start: it builds what all others find
            most(CPU, work.seconds * 1000, f"{name}, {what}")
        tried += 1
        assert answer.status < 500, (what, answer)
        assert errors == [], (what, answer)
        assert not hostile.INTERNAL.search(answer.body), (what, answer)
        if refused(name, answer):
            assert written == [], (what, answer)
    assert tried > 40


@pytest.mark.parametrize(
    ("resource", "good"),
    [
        pytest.param(resource, operators.request(method, path, body), id=f"{method} {path}")
        for resource, method, path, body in operators.REQUESTS
    ],
)
def test_no_hostile_request_breaks_what_operators_ask_or_changes_anything_when_it_is_refused(
    resource: str, good: hostile.Event, here: world.World, written: list[str], errors: list[str]
) -> None:
    name = f"admin.{resource}"
    assert invoke(name, good).status in (200, 404)
    for what, event in operators.everything(good):
        written.clear()
        answer = invoke(name, event)
        assert answer.status < 500, (what, answer)
        assert errors == [], (what, answer)
        assert not hostile.INTERNAL.search(answer.body), (what, answer)
        if answer.status >= 400:
            assert written == [], (what, answer)
