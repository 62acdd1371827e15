"""Concurrent events: between a request's reads and its write, or many callers at the same time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

import pytest

from bindery.aws import dynamodb
from bindery.aws.errors import ConnectionFailed
from bindery.aws.responses import Response
from tests import aws_calls, aws_responses, calls

Outcome = TypeVar("Outcome")


def before(monkeypatch: pytest.MonkeyPatch, operation: str, happen: Callable[[], object]) -> None:
    """Run `happen` just before DynamoDB's next `operation`: a concurrent change or, if it raises, a failure.

    Its own calls are not counted as the invocation's.
    """
    left, real = [happen], aws_calls.real(operation)

    def call(**request: Any) -> Any:
        if left:
            with calls.unrecorded():
                left.pop()()
        return real(**request)

    aws_calls.replace(monkeypatch, operation, call)


def at_once(act: Callable[[int], Outcome], callers: int) -> list[Outcome]:
    """Call `act` with each caller's number, all at the same time, and return the results."""
    barrier = Barrier(callers)

    def start(number: int) -> Outcome:
        barrier.wait(30)
        return act(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(start, range(callers)))


@contextmanager
def lost_response(operation: str) -> Iterator[list[bytes]]:
    """Lose the first response to an operation, and yield the requests sent: the client repeats the request."""
    answered: dict[bytes, Response] = {}
    sent: list[bytes] = []

    def answer(called: str, body: bytes, send: aws_responses.Send) -> Response:
        if called != operation:
            return send()
        sent.append(body)
        if not answered:
            answered[body] = send()
            raise ConnectionFailed("injected")
        # DynamoDB returns the first response to a repeated request with the same token; moto does not.
        return answered.get(body) or send()

    with aws_responses.answered(dynamodb.client(), answer):
        yield sent
