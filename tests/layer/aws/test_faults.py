"""Faults of servers: a call returns the right result or raises an error, after at most three attempts."""

import json
import socket
import time

import pytest

from bindery.aws import connections, sdk
from bindery.aws.errors import ConnectionFailed, ServiceError
from bindery.aws.responses import Reader
from tests.layer.aws.conftest import CLIENTS, Start, dial, name_of
from tests.layer.aws.servers import Reply, Request, end, error, item, reset, response, says, silent

every_client = pytest.mark.parametrize("kind", CLIENTS)


def cut(size: int) -> Reply:
    """Reply with a part of the response, and close the connection."""
    return says(lambda request: response(item(request))[:size], close=True)


def chunked(body: bytes, *, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    middle = len(body) // 2
    parts = [b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in (body[:middle], body[middle:])]
    return head + b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


FAULTS: dict[str, Reply] = {
    "closed before the response": end,
    "closed after the head": cut(len(response(b"", "200 OK")) + 4),
    "closed within the body": cut(-5),
    "closed within a chunk": says(lambda request: chunked(item(request))[:-20], close=True),
    "reset": reset,
    "throttled": error("400 Bad Request", "ThrottlingException"),
    "table throttled": error("400 Bad Request", "ProvisionedThroughputExceededException"),
    "internal error": error("500 Internal Server Error", "InternalServerError"),
    "500 without a body": says(response(b"", "500 Internal Server Error")),
    "503 without a body": says(response(b"", "503 Service Unavailable")),
    "503 in HTML": says(response(b"<html>", "503 Service Unavailable")),
    "wrong checksum": says(lambda request: response(item(request)).replace(b"x-amz-crc32: ", b"x-amz-crc32: 1")),
    "damaged body": says(lambda request: response(item(request)).replace(b'"S"', b'"N"')),
    "not HTTP": says(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", close=True),
}
"""Faults that both clients detect. Those of botocore are its own matter, except that a call has three attempts."""

DETECTED: dict[str, Reply] = {
    "closed within the head": cut(30),
    "checksum that is not a number": says(b"HTTP/1.1 200 OK\r\nx-amz-crc32: x\r\ncontent-length: 2\r\n\r\n{}"),
    "negative length": says(b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}  ", close=True),
    "length that is not a number": says(b"HTTP/1.1 200 OK\r\ncontent-length: 1_0\r\n\r\n{}        "),
    "length of many digits": says(b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n{}"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 4\r\n\r\n{}  "),
    "length and chunks": says(
        b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    ),
    "unknown coding": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "negative chunk": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"),
    "chunk in another notation": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
    "chunk longer than its size": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n"),
    "chunk without an end": says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}ab0\r\n\r\n"),
    "closed before the trailers": says(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx", close=True
    ),
    "head without an end": says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000),
    "status that is not a number": says(b"HTTP/1.1 2_0 OK\r\ncontent-length: 2\r\n\r\n{}"),
    "another protocol": says(b"HTTP/2 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
    "not JSON": says(response(b"<html>")),
    "not UTF-8": says(response(b'{"a": "\xff"}')),
    "nested too deeply": says(response(b"[" * 100_000)),
    "not an object": says(response(b"[]")),
    "no body": says(response(b"")),
    "no content": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "closed without a length": says(b"HTTP/1.1 200 OK\r\n\r\n", close=True),
    "closed within a body without a length": says(b'HTTP/1.1 200 OK\r\n\r\n{"Item": {"pk": {"S": "i', close=True),
}
"""Faults that only the direct client detects: botocore would return something that the server did not say."""

CASES = [
    *(pytest.param("direct", fault, id=name) for name, fault in (FAULTS | DETECTED).items()),
    *(
        pytest.param("botocore", FAULTS[name], id=f"{name}-botocore")
        for name in ("reset", "throttled", "not HTTP", "damaged body")
    ),
]


def padded(request: Request) -> bytes:
    return json.dumps({"Item": request.members()["Key"] | {"pad": {"S": "x" * 300_000}}}).encode()


CORRECT: dict[str, Reply] = {
    "300 KB": says(lambda request: response(padded(request))),
    "300 KB in chunks": says(lambda request: chunked(padded(request))),
    "chunks": says(lambda request: chunked(item(request))),
    "chunks with extensions": says(lambda request: chunked(item(request), extension=b" ;name=value")),
    "chunks with trailers": says(lambda request: chunked(item(request), trailers=b"x-a: b\r\nx-c: d\r\n")),
    "byte by byte": says(*[lambda request, at=at: response(item(request))[at : at + 1] for at in range(120)]),
    "after an interim response": says(b"HTTP/1.1 100 Continue\r\n\r\n", lambda request: response(item(request))),
    "after other interim responses": says(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        lambda request: response(item(request)),
    ),
    "without a reason phrase": says(lambda request: response(item(request), "200 ")),
}
"""Correct responses after which the connection is used again."""

ENDING: dict[str, Reply] = {
    "Connection: close": says(lambda request: response(item(request), "200 OK", "Connection: Close")),
    "HTTP/1.0": says(lambda request: response(item(request)).replace(b"HTTP/1.1", b"HTTP/1.0")),
    "no length": says(b"HTTP/1.1 200 OK\r\n\r\n", padded, close=True),
    "extra bytes": says(lambda request: response(item(request)) + response(b'{"Item": {"pk": {"S": "other"}}}')),
}
"""Correct responses after which the connection is not used again."""


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_call_gets_three_attempts(kind: str, fault: Reply, start: Start, pauses: list[float]) -> None:
    server = start(*[fault] * 4)
    client = dial(kind)
    with pytest.raises((ConnectionFailed, ServiceError)) as caught:
        name_of(client, "one")
    # The fault was seen at once.
    assert not getattr(caught.value, "timed_out", False)
    assert len(pauses) == 2
    assert [name_of(client, name) for name in ("two", "six")] == ["two", "six"]
    names = [request.members()["Key"]["pk"]["S"] for request in server.requests]
    assert names == ["one", "one", "one", "two", "two", "six"]


@pytest.mark.parametrize("name", CORRECT)
def test_correct_response_in_another_form_is_understood(name: str, start: Start) -> None:
    server = start(reply=CORRECT[name])
    client = dial()
    assert [name_of(client, name) for name in ("one", "two", "six")] == ["one", "two", "six"]
    assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize("name", ENDING)
def test_ended_connection_is_not_used_again(name: str, start: Start, pauses: list[float]) -> None:
    server = start(reply=ENDING[name])
    client = dial()
    assert [name_of(client, name) for name in ("one", "two", "six")] == ["one", "two", "six"]
    assert (len(server.requests), server.connections, pauses) == (3, 3, [])


def test_response_that_cannot_have_a_body_ends_with_its_head(start: Start) -> None:
    server = start(reply=says(b"HTTP/1.1 304 Not Modified\r\n\r\n"))
    with pytest.raises(ServiceError):
        name_of(dial(), "one")
    assert len(server.requests) == 1


@every_client
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"},
            "ConditionalCheckFailedException",
        ),
        ({"__type": "TransactionCanceledException"}, "TransactionCanceledException"),
        ({"message": "only a text"}, "400"),
        ({}, "400"),
    ],
)
def test_error_code_is_that_of_the_response(kind: str, body: dict[str, str], code: str, start: Start) -> None:
    server = start(reply=says(response(json.dumps(body).encode(), "400 Bad Request")))
    client = dial(kind)
    with pytest.raises(ServiceError) as caught:
        name_of(client, "one")
    assert (caught.value.code, caught.value.status, len(server.requests)) == (code, 400, 1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RESPONSE_TIMEOUT", 0.1)
    monkeypatch.setattr(sdk, "CONFIG", sdk.CONFIG.merge(type(sdk.CONFIG)(read_timeout=0.1)))


@every_client
@pytest.mark.usefixtures("impatient")
def test_silent_server_is_a_time_out(kind: str, start: Start) -> None:
    server = start(reply=silent)
    client = dial(kind)
    with pytest.raises(ConnectionFailed) as caught:
        name_of(client, "one")
    assert (caught.value.timed_out, len(server.requests), server.connections) == (True, 3, 3)


@pytest.mark.usefixtures("impatient")
def test_dribbling_server_is_a_time_out(start: Start) -> None:
    def dribble(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        connection.settimeout(0.05)
        while True:
            connection.sendall(b"a")
            try:
                assert connection.recv(1) == b""
            except TimeoutError:
                continue
            return

    server = start(reply=dribble)
    client = dial()
    with pytest.raises(ConnectionFailed) as caught:
        name_of(client, "one")
    assert (caught.value.timed_out, len(server.requests)) == (True, 3)


def test_response_is_not_read_after_its_deadline() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(response(b"{}"))
        with pytest.raises(TimeoutError):
            Reader(here, time.monotonic() - 1).read()


@pytest.mark.usefixtures("impatient")
def test_server_that_does_not_read_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ConnectionFailed) as caught:
            # More than the buffers of both ends hold.
            dial().call("PutItem", Item={"pad": {"S": "x" * 30_000_000}})
    assert caught.value.timed_out


@every_client
def test_refused_connection_gets_three_attempts(
    kind: str, environment: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConnectionFailed) as caught:
        name_of(dial(kind), "one")
    assert (caught.value.timed_out, len(pauses)) == (False, 2)
