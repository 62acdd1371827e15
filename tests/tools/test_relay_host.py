"""The relay host's sessions and its limits, with a scripted device link and admin API."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from tests.agent.link_server import Connection, LinkServer, in_loop
from tests.server.programs import COMMAND
from tools.cli.client import Exit, Failure
from tools.local import relay
from tools.tunnel import relay_host
from tools.tunnel.relay_host import RelayHost

CREDENTIAL = "port#34168.5C6D4A3E-0000-4000-8000-000000000000"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Api:
    """An admin API that admits clients, or refuses them with `failure`, and notes the requests."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.asked: list[Any] = []

    def ask(self, *path: str, query: Any) -> dict[str, Any]:
        self.asked.append((path, query))
        if self.failure is not None:
            raise self.failure
        expires_at = (int(time.time()) + 3600) * 1000
        return {"credential": CREDENTIAL, "device": "D", "caller": "ada", "expires_at": expires_at}


class Relay:
    def __init__(self, server: LinkServer) -> None:
        self.api = Api()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.host = RelayHost(self.api, server.url)  # type: ignore[arg-type]

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def open(self, server: LinkServer) -> tuple[Streams, Connection, dict[str, Any]]:
        """Connect, and return the connection, the session's WebSocket and its message that opens a stream."""
        connection = await self.connect()
        link = await server.welcomed()
        return connection, link, await link.message()


@asynccontextmanager
async def running_relay(server: LinkServer) -> AsyncIterator[Relay]:
    made = Relay(server)
    task = asyncio.ensure_future(made.host.run([made.listening]))
    yield made
    task.cancel()
    await asyncio.wait({task})


async def refused(connection: Streams) -> bool:
    """Wait until a connection ends, and return True if it was reset or closed without data."""
    reader, writer = connection
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True
    finally:
        writer.close()


@in_loop
async def test_connections_of_a_lease_share_a_session() -> None:
    async with LinkServer() as server, running_relay(server) as running:
        opened = [await running.connect() for _ in range(2)]
        link = await server.welcomed()
        assert link.request_headers["Authorization"] == f"Bearer {CREDENTIAL}"
        messages = [await link.message() for _ in range(2)]
        assert [(each["type"], each["svc"]) for each in messages] == [("open", "")] * 2
        assert messages[0]["s"] != messages[1]["s"]
        query = {"port": running.port, "client": "127.0.0.1"}
        assert running.api.asked == [(("GET", "connections", "relay"), query)] * 2
        for _, writer in opened:
            writer.close()


@in_loop
async def test_session_without_connections_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_host, "IDLE_SECONDS", 0.1)
    async with LinkServer() as server, running_relay(server) as running:
        connection, link, opened = await running.open(server)
        link.send({"type": "reset", "s": opened["s"], "why": "refused"})
        assert await refused(connection)
        assert await link.closed() == 1000
        connection, _, opened = await running.open(server)
        assert opened["type"] == "open"
        connection[1].close()


@in_loop
async def test_end_of_a_lease_ends_its_connections_and_leaves_the_next_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_host, "IDLE_SECONDS", 0.2)
    async with LinkServer() as server, running_relay(server) as running:
        connection, link, _ = await running.open(server)
        link.send({"type": "bye", "why": "ended", "after": 0})
        assert await refused(connection)
        first, link, opened = await running.open(server)
        assert len(running.api.asked) == 2
        link.send({"type": "ack", "s": opened["s"], "n": 1, "window": 8})
        await asyncio.sleep(0.4)
        second = await running.connect()
        assert (await link.message())["type"] == "open"
        for _, writer in (first, second):
            writer.close()


@pytest.mark.parametrize("response", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 500 Oops\r\n\r\n"])
@in_loop
async def test_connection_without_a_session_is_refused(response: bytes) -> None:
    async with LinkServer() as server, running_relay(server) as running:
        server.responses = [response]
        assert await refused(await running.connect())


@pytest.mark.parametrize(("code", "asked"), [(Exit.NOT_FOUND, 2), (Exit.UNAVAILABLE, 4)])
@in_loop
async def test_client_that_was_refused_often_is_refused_without_a_request(
    monkeypatch: pytest.MonkeyPatch, code: Exit, asked: int
) -> None:
    monkeypatch.setattr(relay_host, "REFUSALS", 2)
    monkeypatch.setattr(relay_host, "REFUSED_SECONDS", 1000)
    async with LinkServer() as server, running_relay(server) as running:
        running.api.failure = Failure(code, "no")
        for _ in range(4):
            assert await refused(await running.connect())
        assert len(running.api.asked) == asked
        monkeypatch.setattr(relay_host, "REFUSED_SECONDS", 0)
        assert await refused(await running.connect())
        assert len(running.api.asked) == asked + 1


@in_loop
async def test_connections_above_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_host, "MAX_CONNECTIONS", 1)
    async with LinkServer() as server, running_relay(server) as running:
        connection, *_ = await running.open(server)
        assert await refused(await running.connect())
        connection[1].close()


@in_loop
async def test_stopped_relay_host_resets_its_connections() -> None:
    async with LinkServer() as server:
        async with running_relay(server) as running:
            connection, link, opened = await running.open(server)
        assert await link.message() == {"type": "reset", "s": opened["s"], "why": "closed"}
        assert await refused(connection)


def failure(ports: str) -> str:
    """Return the error of the program with these ports."""
    result = CliRunner().invoke(
        COMMAND, ["relay-host", "--listen=127.0.0.1", f"--ports={ports}", "--devices-url=wss://x/link"]
    )
    assert result.exit_code == 2
    return result.stderr


def test_port_in_use_is_reported_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert (
            failure(f"{port}-{port}") == f"bindery: cannot listen on 127.0.0.1, port {port}: Address already in use\n"
        )


@pytest.mark.parametrize("ports", ["2-1", "1", "65535-65536"])
def test_invalid_ports_are_a_one_line_error(ports: str) -> None:
    assert failure(ports) == f"bindery: {ports} is not a range of ports. Example: 34168-34267\n"


def test_second_local_server_has_other_ports() -> None:
    with ExitStack() as one, ExitStack() as two:
        ranges = [relay.listen(stack) for stack in (one, two)]
        ports = [[each.getsockname()[1] for each in listening] for listening in ranges]
        assert ports[0] == list(range(ports[0][0], ports[0][0] + relay.COUNT))
        assert not {*ports[0]} & {*ports[1]}
        assert relay.setting(ranges[0]) == f"127.0.0.1:{ports[0][0]}-{ports[0][-1]}"
