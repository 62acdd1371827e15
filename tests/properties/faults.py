"""Injected faults in single HTTP requests to AWS, including the SDK's own retries.

Faults are injected below the SDK's retries because the retries are part of the system under test: the SDK repeats a
write whose response was lost before Bindery's code learns of it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError


class Killed(BaseException):
    """The process ended right after a call: none of Bindery's code runs any more."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault; `takes_effect` if the service carries out the request nevertheless."""

    name: str
    happen: Callable[[Any], AWSResponse | None]
    takes_effect: bool = False


def _error(status: int, code: str, **members: Any) -> Callable[[Any], AWSResponse]:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected", **members})

    def answer(request: Any) -> AWSResponse:
        raw = _Raw(body.encode())
        return AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, raw)

    return answer


class _Raw:
    """A response body as urllib3 provides it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body


def _raise(error: BaseException) -> Callable[[Any], None]:
    def happen(request: Any) -> None:
        raise error

    return happen


def _conflict(request: Any) -> AWSResponse | None:
    """Conflict with a transaction on the same items: DynamoDB cancels a transaction and refuses a single write."""
    if request.headers["X-Amz-Target"].decode().endswith("TransactWriteItems"):
        items = json.loads(request.body)["TransactItems"]
        reasons = [{"Code": "TransactionConflict"}, *({"Code": "None"} for _ in items[1:])]
        return _error(400, "TransactionCanceledException", CancellationReasons=reasons)(request)
    if request.headers["X-Amz-Target"].decode().rpartition(".")[2] in ("PutItem", "UpdateItem", "DeleteItem"):
        return _error(400, "TransactionConflictException")(request)
    return _error(500, "InternalServerError")(request)


KINDS = (
    Kind("throttled", _error(400, "ThrottlingException")),
    Kind("conflict", _conflict),
    Kind("internal error", _error(500, "InternalServerError")),
    Kind("connection refused", _raise(EndpointConnectionError(endpoint_url="injected"))),
    Kind("read time-out before it took effect", _raise(ReadTimeoutError(endpoint_url="injected"))),
    Kind("read time-out after it took effect", _raise(ReadTimeoutError(endpoint_url="injected")), takes_effect=True),
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
        events = self._client.meta.events
        events.register_first("before-send.dynamodb", self._before, unique_id="faults")
        try:
            yield self
        finally:
            events.unregister("before-send.dynamodb", self._before, unique_id="faults")

    def plan(self, at: int | None, kind: Kind = KINDS[0], *, lasting: bool = False) -> None:
        """Inject `kind` into the request number `at` from now; if `lasting`, also into all later ones."""
        self.sent.clear()
        self._at, self._kind, self._lasting = at, kind, lasting

    def _before(self, request: Any, **_: Any) -> AWSResponse | None:
        number = len(self.sent)
        self.sent.append(request.headers["X-Amz-Target"].decode().rpartition(".")[2])
        if self._at is None or number < self._at or (number > self._at and not self._lasting):
            return None
        if self._kind.takes_effect:
            answer = self._client._endpoint.http_session.send(request)
            assert answer.status_code < 500, answer.text
        return self._kind.happen(request)
