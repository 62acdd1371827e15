"""Observe and replace the calls that Bindery makes to AWS, whichever client makes them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bindery.aws import clients, dynamodb
from bindery.aws.errors import ServiceError

Request = dict[str, Any]

before: list[Callable[[str, str, Request], None]] = []
"""Called with service, operation and request before each call. May change the request or raise an error."""
after: list[Callable[[str, str, Request, Request | ServiceError], None]] = []
"""Called with service, operation, request and result after each call that got a response."""

_create = clients.client


class Observed:
    """A client whose calls are observed."""

    def __init__(self, service: clients.Service) -> None:
        self.service = service
        self.client: Any = _create(service)

    def connect(self) -> None:
        self.client.connect()

    def close(self) -> None:
        self.client.close()

    def call(self, operation: str, **request: Any) -> Request:
        for observe in before:
            observe(self.service, operation, request)
        try:
            answer: Request = self.client.call(operation, **request)
        except ServiceError as error:
            for told in after:
                told(self.service, operation, request, error)
            raise
        for told in after:
            told(self.service, operation, request, answer)
        return answer


def install() -> None:
    """Observe the calls of every client created from now on."""
    clients.client = Observed


def real(operation: str) -> Callable[..., Request]:
    """Return a function that calls a DynamoDB operation."""
    return partial(dynamodb.client().call, operation)


def replace(patch: pytest.MonkeyPatch, operation: str, answer: Callable[..., Any]) -> None:
    """Replace the responses to calls of a DynamoDB operation."""
    call = dynamodb.client().call

    def replaced(called: str, **request: Any) -> Request:
        answered: Request = answer(**request) if called == operation else call(called, **request)
        return answered

    patch.setattr(dynamodb.client(), "call", replaced)


def error(code: str, status: int = 400, **members: Any) -> ServiceError:
    """Return an error response of a service."""
    return ServiceError(code, status, {"message": "secret inner text", **members})
