"""Calls of the WebSocket API's management API, with either client."""

import re
from typing import Any

import pytest

from bindery.aws import clients, links
from bindery.aws.errors import ConnectionFailed
from bindery.core import env
from bindery.core.errors import Refused
from tests import aws_calls
from tests.layer.aws.conftest import Start
from tests.layer.aws.servers import Server, response, says
from tests.layer.aws.test_signing import moment_of, signed_by_botocore

CONNECTION = "JKJaXmPLvHcESHA="
MESSAGE = {"type": "bye"}
DONE = says(lambda request: response(b""))


def refusal(status: str, code: str) -> Any:
    return says(lambda request: response(b'{"message": "no"}', status, f"x-amzn-errortype: {code}:http://internal/"))


@pytest.fixture(params=["direct", "botocore"])
def serve(request: Any, start: Start, environment: pytest.MonkeyPatch) -> Any:
    """Return a function that starts a server, which the module calls with either client."""
    opened: list[clients.Client] = []

    def made(*replies: Any) -> Server:
        server = start(*replies)
        environment.setenv("AWS_CLIENT", request.param)
        environment.setenv("LINK_ENDPOINT", f"{server.url}/link")
        env.clear_cache()
        opened.append(aws_calls._create("apigatewaymanagementapi"))
        environment.setattr(links, "client", lambda: opened[-1])
        return server

    yield made
    for client in opened:
        client.close()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_connection_id_is_encoded_and_the_request_signed(
    method: str, serve: Any, environment: pytest.MonkeyPatch
) -> None:
    server = serve(DONE)
    assert links.send(CONNECTION, MESSAGE) if method == "POST" else links.close(CONNECTION)
    (request,) = server.requests
    assert re.match(rf"{method} /link/(@|%40)connections/JKJaXmPLvHcESHA%3D HTTP/1.1\r\n", request.head.decode())
    assert request.body == (b'{"type": "bye"}' if method == "POST" else b"")
    authorization = request.header("authorization") or ""
    headers = {name: request.header(name) or "" for name in re.findall(r"[\w-]+", authorization.split("=")[2])[:-1]}
    assert {"host", "x-amz-date"} <= headers.keys()
    url = f"{server.url}{request.head.split()[1].decode()}"
    given = (("testing", "testing"), "execute-api", "eu-central-1")
    moment = moment_of(headers)
    assert authorization == signed_by_botocore(environment, url, headers, request.body, moment, *given, method=method)


def test_closed_connection_is_not_an_error(serve: Any) -> None:
    server = serve(refusal("410 Gone", "GoneException"), refusal("410 Gone", "GoneException"))
    assert not links.send(CONNECTION, MESSAGE)
    assert not links.close(CONNECTION)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "fault", [refusal("429 Too Many", "LimitExceededException"), says(b"", close=True)], ids=["throttled", "lost"]
)
def test_throttled_or_lost_message_is_sent_again(fault: Any, serve: Any, pauses: list[float]) -> None:
    server = serve(fault, DONE)
    assert links.send(CONNECTION, MESSAGE)
    assert len(server.requests) == 2
    assert len(pauses) == 1


def test_lasting_refusal_is_unavailable(serve: Any) -> None:
    server = serve(*[refusal("429 Too Many", "LimitExceededException")] * 3)
    with pytest.raises(Refused) as raised:
        links.send(CONNECTION, MESSAGE)
    assert raised.value.reason == "unavailable"
    assert len(server.requests) == 3


def test_missing_permission_is_an_error_and_not_repeated(serve: Any) -> None:
    server = serve(refusal("403 Forbidden", "ForbiddenException"))
    with pytest.raises(Exception, match="ForbiddenException") as raised:
        links.send(CONNECTION, MESSAGE)
    assert not isinstance(raised.value, (Refused, ConnectionFailed))
    assert len(server.requests) == 1
