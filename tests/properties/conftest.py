"""The world that the proofs share, on moto, and the fixtures that watch it."""

from collections.abc import Iterator
from typing import Any

import pytest

from bindery.http import operation
from tests import aws_calls, moto_registry
from tests.conftest import clear_caches
from tests.engine.conftest import engine, running_engine
from tests.openid import Bank
from tests.properties import world
from tests.properties.staging import built, stage

__all__ = ["built", "engine", "running_engine", "stage"]

WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")


@pytest.fixture(autouse=True)
def _quick_hashes(cheap_hashes: None) -> None:
    """The cost of password hashes is irrelevant here."""


@pytest.fixture
def here(
    built: tuple[world.World, Bank, moto_registry.State], environment: pytest.MonkeyPatch
) -> Iterator[world.World]:
    """The world in its initial state."""
    here, bank, at_first = built
    bank.trusted(environment)
    moto_registry.restore(at_first)
    here.answers.clear()
    yield here
    clear_caches()


@pytest.fixture
def written(here: world.World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every write that DynamoDB has carried out during the test, except those that count a failed guess."""
    done: list[str] = []

    def note(service: str, operation: str, request: dict[str, Any], answer: object) -> None:
        writes = [write for member in request.get("TransactItems", ()) for write in member.values()] or [request]
        places = [write.get("Key", {}).get("pk", {}).get("S", "") for write in writes]
        if operation in WRITES and isinstance(answer, dict) and any(not pk.startswith("attempts#") for pk in places):
            done.append(operation)

    monkeypatch.setattr(aws_calls, "after", [*aws_calls.after, note])
    return done


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Internal errors that were logged during the test."""
    logged: list[str] = []
    monkeypatch.setattr(operation.logger, "exception", lambda message, **_: logged.append(message))
    return logged
