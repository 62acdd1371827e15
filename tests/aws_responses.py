"""Replace the responses to single HTTP requests, below the retries of either client."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto.core.models import botocore_stubber

from bindery.aws import direct
from bindery.aws.errors import ConnectionFailed
from bindery.aws.responses import Response
from tests.aws_calls import Observed

Send = Callable[[], Response]
Answer = Callable[[str, bytes, Send], Response]
"""Returns the response to an operation's request, or raises `ConnectionFailed`. The third argument sends it."""


@contextmanager
def answered(client: Any, answer: Answer) -> Iterator[None]:
    """Let `answer` answer the requests of an observed client within this context."""
    assert isinstance(client, Observed)
    inner = client.client
    if isinstance(inner, direct.Client):
        send, outer = inner.send, vars(inner).get("send")
        inner.send = lambda operation, body: answer(operation, body, lambda: send(operation, body))  # type: ignore[method-assign]
        try:
            yield
        finally:
            del inner.send
            if outer is not None:
                inner.send = outer  # type: ignore[method-assign]
        return

    def before_send(request: Any, **_: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        try:
            return _to_botocore(request, answer(operation, request.body, lambda: _sent(inner.client, request)))
        except ConnectionFailed as failed:
            kind = ReadTimeoutError if failed.timed_out else EndpointConnectionError
            raise kind(endpoint_url=request.url) from failed

    events = inner.client.meta.events
    events.register_first("before-send", before_send, unique_id=id(answer))
    try:
        yield
    finally:
        events.unregister("before-send", before_send, unique_id=id(answer))


def _sent(client: Any, request: Any) -> Response:
    response = botocore_stubber("before-send", request) or client._endpoint.http_session.send(request)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


def _to_botocore(request: Any, response: Response) -> AWSResponse:
    return AWSResponse(request.url, response.status, response.headers, Raw(response.body))


class Raw:
    """A response body as urllib3 provides it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body
