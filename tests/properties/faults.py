"""Injected faults in single HTTP requests to AWS, including the client's own retries.

Faults are injected below these retries because they are part of the system under test: the client repeats a
write whose response was lost before Bindery's code learns of it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bindery.aws.errors import ConnectionFailed
from bindery.aws.responses import Response
from tests import aws_responses


class Killed(BaseException):
    """The process ended right after a call: none of Bindery's code runs any more."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault; `takes_effect` if the service carries out the request nevertheless."""

    name: str
    happen: Callable[[str, bytes], Response]
    takes_effect: bool = False


def _error(status: int, code: str, **members: Any) -> Callable[[str, bytes], Response]:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected", **members})
    return lambda operation, request: Response(status, {"content-type": "application/x-amz-json-1.0"}, body.encode())


def _raise(error: BaseException) -> Callable[[str, bytes], Response]:
    def happen(operation: str, request: bytes) -> Response:
        raise error

    return happen


def _conflict(operation: str, request: bytes) -> Response:
    """Conflict with a transaction on the same items: DynamoDB cancels a transaction and refuses a single write."""
    if operation == "TransactWriteItems":
        items = json.loads(request)["TransactItems"]
        reasons = [{"Code": "TransactionConflict"}, *({"Code": "None"} for _ in items[1:])]
        return _error(400, "TransactionCanceledException", CancellationReasons=reasons)(operation, request)
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        return _error(400, "TransactionConflictException")(operation, request)
    return _error(500, "InternalServerError")(operation, request)


_TIME_OUT = ConnectionFailed("TimeoutError", timed_out=True)

KINDS = (
    Kind("throttled", _error(400, "ThrottlingException")),
    Kind("conflict", _conflict),
    Kind("internal error", _error(500, "InternalServerError")),
    Kind("connection refused", _raise(ConnectionFailed("ConnectionRefusedError"))),
    Kind("read time-out before it took effect", _raise(_TIME_OUT)),
    Kind("read time-out after it took effect", _raise(_TIME_OUT), takes_effect=True),
    Kind("killed right after it", _raise(Killed()), takes_effect=True),
)


class Wire:
    """Count a client's HTTP requests and inject a fault into one of them, or into all from one on."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.sent: list[str] = []
        self._at: int | None = None
        self._lasting = False
        self._kind = KINDS[0]

    @contextmanager
    def watched(self) -> Iterator["Wire"]:
        """Count requests and inject faults within this context."""
        with aws_responses.answered(self._client, self._answer):
            yield self

    def plan(self, at: int | None, kind: Kind = KINDS[0], *, lasting: bool = False) -> None:
        """Inject `kind` into the request number `at` from now; if `lasting`, also into all later ones."""
        self.sent.clear()
        self._at, self._kind, self._lasting = at, kind, lasting

    def _answer(self, operation: str, body: bytes, send: aws_responses.Send) -> Response:
        number = len(self.sent)
        self.sent.append(operation)
        if self._at is None or number < self._at or (number > self._at and not self._lasting):
            return send()
        if self._kind.takes_effect:
            response = send()
            assert response.status < 500, response
        return self._kind.happen(operation, body)
