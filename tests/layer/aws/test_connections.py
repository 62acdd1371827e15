"""Connections: each response belongs to its request, and each connection is closed."""

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from bindery.aws import direct
from bindery.aws.errors import ConnectionFailed
from bindery.aws.responses import Reader
from tests.layer.aws.conftest import CLIENTS, Start, dial, name_of
from tests.layer.aws.servers import Reply, Request, correct, end, item, reset, response, says, silent

every_client = pytest.mark.parametrize("kind", CLIENTS)

OTHER = response(b'{"Item": {"pk": {"S": "other"}}}')


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def then(do: Callable[[socket.socket], Any], at: Event, done: Event) -> Reply:
    """Reply correctly, wait, and do something to the idle connection."""

    def reply(connection: socket.socket, request: Request) -> None:
        correct(connection, request)
        at.wait()
        try:
            do(connection)
        finally:
            done.set()

    return reply


@every_client
@pytest.mark.parametrize(
    "do",
    [
        pytest.param(lambda connection: connection.sendall(OTHER), id="another response"),
        pytest.param(lambda connection: connection.sendall(b"\0"), id="a byte"),
        pytest.param(lambda connection: connection.sendall(b"HTTP/1.1 408 Timeout\r\n\r\n"), id="a time-out"),
        pytest.param(end, id="closed"),
    ],
)
def test_connection_that_changed_while_idle_is_not_used(
    kind: str, do: Callable[[socket.socket], Any], start: Start, pauses: list[float]
) -> None:
    at, done = Event(), Event()
    server = start(then(do, at, done))
    client = dial(kind)
    assert name_of(client, "one") == "one"
    at.set()
    done.wait()
    assert [name_of(client, name) for name in ("two", "six")] == ["two", "six"]
    assert [request.connection for request in server.requests] == [1, 2, 2]
    assert pauses == []


def test_connection_that_was_idle_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    server = start()
    client = dial()
    now = time.time()
    # A process that Lambda freezes stops monotonic clocks too.
    for name, later in (("a", 0), ("b", 19), ("c", 40), ("d", -60)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert name_of(client, name) == name
    assert [request.connection for request in server.requests] == [1, 1, 2, 3]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["sendall", "recv", "read"])
def test_interrupted_call_closes_its_connection(
    monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException], where: str, start: Start
) -> None:
    server = start(reply=lambda *given: (silent if b"interrupted" in given[1].body else correct)(*given))
    client = dial()
    assert name_of(client, "one") == "one"

    def interrupt(*_: object) -> None:
        raise interruption

    with monkeypatch.context() as patch:
        if where == "read":
            patch.setattr(Reader, "read", interrupt)
        else:
            connection = client._connections._idle[0]
            patch.setattr(connection, "_socket", Interrupting(connection._socket, where, interrupt))
        with pytest.raises(interruption):
            name_of(client, "interrupted")
    assert name_of(client, "two") == "two"
    assert server.connections == 2
    client.close()
    server.wait()


class Interrupting:
    def __init__(self, inner: socket.socket, where: str, interrupt: Callable[..., None]) -> None:
        self._inner = inner
        setattr(self, where, interrupt)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def at_once(client: direct.Client, count: int) -> None:
    """Make calls that overlap, so that each needs a connection of its own."""
    barrier = Barrier(count)
    sends = client.send

    def send(operation: str, body: bytes) -> Any:
        connection = client._connections._take() or client._connections._connect()
        barrier.wait()
        client._connections._idle.append(connection)
        return sends(operation, body)

    with ThreadPoolExecutor(count) as threads:
        client.send = send  # type: ignore[method-assign]
        names = [f"{number}" for number in range(count)]
        assert list(threads.map(lambda name: name_of(client, name), names)) == names
        del client.send


def test_all_connections_closed_while_idle_cost_one_attempt(start: Start, pauses: list[float]) -> None:
    def first_only(connection: socket.socket, request: Request) -> None:
        (correct if request.connection > 8 or request.body.count(b"last") == 0 else reset)(connection, request)

    server = start(reply=first_only)
    client = dial()
    at_once(client, 8)
    assert server.connections == 8
    assert name_of(client, "last") == "last"
    assert [request.connection > 8 for request in server.requests[8:]] == [False, True]
    assert pauses == []


def test_threads_get_their_own_responses(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    # All threads may retry at once.
    monkeypatch.setattr(direct, "_QUOTA", 10_000)
    faults: list[Reply] = [
        correct,
        end,
        says(lambda request: response(item(request))[:-1], close=True),
        says(lambda request: response(item(request)) + OTHER),
        says(lambda request: response(item(request), "200 OK", "connection: close"), close=True),
        reset,
    ]

    def sometimes(connection: socket.socket, request: Request) -> None:
        # A repeated call is answered correctly.
        seen = [other.body for other in server.requests].count(request.body) > 1
        number = int(request.members()["Key"]["pk"]["S"])
        (correct if seen else faults[number % len(faults)])(connection, request)

    server = start(reply=sometimes)
    client = dial()
    names = [f"{number}" for number in range(32 * 6)]
    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(lambda name: name_of(client, name), names)) == names
    client.close()
    server.wait()


def test_closed_client_has_no_open_sockets(start: Start) -> None:
    server = start()
    before = descriptors()
    client = dial()
    at_once(client, 32)
    assert server.connections == 32
    client.close()
    server.wait()
    assert descriptors() == before


@pytest.mark.parametrize("fault", [end, reset, says(b"?\r\n\r\n"), says(response(b"[]"), close=True)])
def test_failed_calls_leave_no_open_sockets(fault: Reply, start: Start) -> None:
    server = start(reply=fault)
    before = descriptors()
    client = dial()
    for _ in range(5):
        with pytest.raises(ConnectionFailed):
            name_of(client, "one")
    server.wait()
    client.close()
    assert descriptors() == before
