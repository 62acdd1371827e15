"""Hostile input: no internal error, partial write, internal text, or change of a field that callers may not set."""

import pytest

from tests.http_api import Response, invoke
from tests.properties import hostile, operators, world
from tests.properties.staging import refused
from tests.tables import everything


def harmless(name: str, request: hostile.Named, written: list[str], errors: list[str]) -> Response:
    """Return the response to a hostile request, once it has done no harm."""
    what, event = request
    written.clear()
    answer = invoke(name, event)
    assert answer.status < 500, (what, answer)
    assert errors == [], (what, answer)
    assert not hostile.INTERNAL.search(answer.body), (what, answer)
    if refused(name, answer):
        assert written == [], (what, answer)
    return answer


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_hostile_requests_cause_no_errors_or_partial_writes(
    name: str, here: world.World, written: list[str], errors: list[str]
) -> None:
    world.prepare(here, name)
    planted, *requests = hostile.everything(here.request(name))
    assert not refused(name, harmless(name, planted, written, errors))
    assert hostile.EVIL not in str(everything())
    for request in requests:
        harmless(name, request, written, errors)
    assert len(requests) >= 40


@pytest.mark.parametrize(
    ("resource", "good"),
    [
        pytest.param(resource, operators.request(method, path, body), id=f"{method} {path}")
        for resource, method, path, body in operators.REQUESTS
    ],
)
def test_hostile_admin_requests_cause_no_errors_or_partial_writes(
    resource: str, good: hostile.Event, here: world.World, written: list[str], errors: list[str]
) -> None:
    name = f"admin.{resource}"
    assert invoke(name, good).status in (200, 404)
    for request in operators.everything(good):
        harmless(name, request, written, errors)
