"""Operations return the documented error examples exactly: errors that every operation can return.

The other errors have tests of their own; `tests/stack/test_exact.py` checks that every example is tested.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.core.errors import Reason
from bindery.http.operation import Operation
from bindery.security import passwords
from tests import aws_calls, documented
from tests.conftest import clear_caches
from tests.http_api import Response, invoke
from tests.performance.stories import World
from tests.records import empty_registry
from tools import template
from tools.generate.openapi.refused import OF_THE_FORM, provoked
from tools.voices import VOICES

OPERATIONS = [function.name for function in template.functions() if function.name.partition(".")[0] in VOICES]
CREDENTIALS = ("api_key", "authorization", "developerkey", "token")
OUT_OF_REACH = {Reason.UNAVAILABLE, Reason.LOOKUP_FAILED, Reason.SERIAL_LOOKUP_FAILED}

every = pytest.mark.parametrize("name", OPERATIONS)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Create one world for all of these requests: each is refused and writes nothing."""
    with pytest.MonkeyPatch.context() as patch, empty_registry() as bank:
        patch.setattr(passwords, "_LN", 2)
        yield World(bank)


def shown(name: str, answer: Response) -> set[str]:
    return documented.shown(name, answer.status, answer.body)


@every
def test_invalid_requests_match_the_documented_examples(name: str, world: World) -> None:
    operation: Operation[Any, Any] = template.function(name).load()
    wrong = provoked(operation, world.sample(name))
    for reason, (event, _) in wrong.items():
        assert reason in shown(name, invoke(name, event)), reason
    assert OF_THE_FORM & wrong.keys() == OF_THE_FORM & documented.refusals(name).keys()


@every
def test_missing_and_forged_credentials_match_the_examples(name: str, world: World) -> None:
    seen: set[str] = set()
    for header in CREDENTIALS:
        for forged in ("", "bearer forged"):
            seen |= shown(name, invoke(name, world.sample(name, **{header: forged})))
    # These depend on stored data, not only on the request.
    stored = {Reason.ACCESS_DENIED, Reason.RATE_EXCEEDED}
    assert template.function(name).load().dialect.CREDENTIALS - stored <= seen


@every
def test_internal_error_matches_its_example(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Any, caller: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(template.function(name).load(), "function", broken)
    assert Reason.INTERNAL in shown(name, invoke(name, world.sample(name)))


@every
def test_outage_matches_its_example(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: Any) -> None:
        raise ConnectionFailed("EndpointConnectionError")

    event = world.sample(name)
    clear_caches()
    monkeypatch.setitem(world.bank.answers, "/keys", (500, {}, b""))
    for method in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "TransactWriteItems"):
        aws_calls.replace(monkeypatch, method, unreachable)
    assert shown(name, invoke(name, event)) & OUT_OF_REACH
