"""Concurrent events: between a request's reads and its write, or many callers at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from bindery.aws import dynamodb
from tests import calls

Outcome = TypeVar("Outcome")


def before(monkeypatch: pytest.MonkeyPatch, method: str, happen: Callable[[], object]) -> None:
    """Run `happen` just before the DynamoDB client's next `method`: a concurrent change or, if it raises, a failure.

    Its own calls are not counted as the invocation's.
    """
    real = getattr(dynamodb.client(), method)

    def call(**request: Any) -> Any:
        monkeypatch.setattr(dynamodb.client(), method, real)
        token = calls._current.set(None)
        try:
            happen()
        finally:
            calls._current.reset(token)
        return real(**request)

    monkeypatch.setattr(dynamodb.client(), method, call)


def at_once(act: Callable[[int], Outcome], callers: int) -> list[Outcome]:
    """Call `act` with each caller's number, all at the same time, and return the results."""
    barrier = Barrier(callers)

    def start(number: int) -> Outcome:
        barrier.wait(30)
        return act(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(start, range(callers)))


def lose_first_response(operation: str) -> list[bytes]:
    """Lose the first response to a call, and return the requests sent: the SDK retries the call."""
    answered: dict[bytes, Any] = {}
    sent: list[bytes] = []

    def lose(response: Any, **_: Any) -> int | None:
        if answered:
            return None
        answered[sent[0]] = response[0]
        return 0

    def answer_alike(request: Any, **_: Any) -> Any:
        # DynamoDB returns the first response to a repeated request with the same token; moto does not.
        sent.append(request.body)
        return answered.get(request.body)

    events = dynamodb.client().meta.events
    events.register_first(f"needs-retry.dynamodb.{operation}", lose)
    events.register_first(f"before-send.dynamodb.{operation}", answer_alike)
    return sent
