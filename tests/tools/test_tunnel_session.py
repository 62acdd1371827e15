"""WebSockets of a tunnel: replaced before they end and when they are lost, until the lease ends."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from agent.bindery_agent import Offline
from tests.agent.link_server import Connection, LinkServer, in_loop
from tools.tunnel import session
from tools.tunnel.session import ENDED, Ended, Session

CREDENTIAL = "proxyabcdefghijklmnop.5C6D4A3E-0000-4000-8000-000000000000"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


class Running:
    """A session that runs, the server's end of its first WebSocket, and what the session reported."""

    def __init__(self, server: LinkServer, seconds: float) -> None:
        self.notes: list[str] = []
        self.session = Session(server.url, CREDENTIAL, time.time() + seconds, self.notes.append)
        self.link: Connection

    async def connect(self, server: LinkServer, **given: float) -> None:
        connecting = asyncio.ensure_future(self.session.connect())
        self.link = await server.accept()
        await self.link.welcome(**given)
        await connecting
        self.task = asyncio.ensure_future(self.session.run())

    async def ended(self) -> str:
        with pytest.raises(Ended) as raised:
            await self.task
        return str(raised.value)


@asynccontextmanager
async def running(server: LinkServer, lease: float = 3600, **given: float) -> AsyncIterator[Running]:
    made = Running(server, lease)
    await made.connect(server, **given)
    yield made
    made.task.cancel()
    await asyncio.wait({made.task})
    await made.session.close()


@asynccontextmanager
async def stream(running: Session) -> AsyncIterator[socket.socket]:
    """A connection that a session carries."""
    ours, theirs = socket.socketpair()
    carrying = asyncio.ensure_future(running.carry("ssh", *await asyncio.open_connection(sock=theirs)))
    with ours:
        yield ours
    carrying.cancel()
    await asyncio.wait({carrying})


@in_loop
async def test_websocket_is_replaced_before_it_ends_and_streams_go_on() -> None:
    async with LinkServer() as server, running(server, seconds=0.5) as tunnel, stream(tunnel.session) as opened:
        first = tunnel.link
        open_message = await first.message()
        assert (open_message["type"], open_message["svc"], open_message["acks"]) == ("open", "ssh", True)
        first.send({"type": "ack", "s": open_message["s"], "n": 1, "window": 8})
        second = await server.accept()
        headers = [link.request_headers for link in (first, second)]
        assert headers[0]["Authorization"] == f"Bearer {CREDENTIAL}"
        assert len(headers[0]["Bindery-Session"]) == 32
        assert [each["Bindery-Session"] for each in headers] == [headers[0]["Bindery-Session"]] * 2
        await second.welcome()
        assert await first.closed() == 1000
        opened.sendall(b"x")
        data = await second.message()
        assert (data["s"], data["n"], data["d"]) == (open_message["s"], 1, "eA==")
        assert tunnel.notes == []


@in_loop
async def test_lost_websocket_is_opened_again_despite_a_failure() -> None:
    async with LinkServer() as server, running(server) as tunnel:
        server.responses = [BUSY]
        tunnel.link.drop()
        await server.welcomed()


@in_loop
async def test_server_ends_the_tunnel() -> None:
    async with LinkServer() as server, running(server) as tunnel:
        tunnel.link.send({"type": "bye", "why": "banned", "after": 0})
        assert await tunnel.ended() == "the server ended the connection (banned)"
        assert server.requests[1:] == []


@in_loop
async def test_idle_tunnel_asks_whether_its_lease_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "QUIET", 0.1)
    async with LinkServer() as server, running(server) as tunnel:
        await tunnel.link.welcome()
        assert await tunnel.link.message() == {"type": "hello", "v": 1}
        tunnel.link.send({"type": "bye", "why": "ended", "after": 0})
        assert await tunnel.ended() == ENDED


@in_loop
async def test_connection_of_the_same_session_elsewhere_does_not_end_it() -> None:
    async with LinkServer() as server, running(server) as tunnel:
        tunnel.link.send({"type": "bye", "why": "replaced", "after": 600})
        await server.welcomed()


@in_loop
async def test_tunnel_ends_if_its_lease_is_refused_on_reconnection() -> None:
    async with LinkServer() as server, running(server) as tunnel:
        server.responses = [FORBIDDEN]
        tunnel.link.drop()
        assert await tunnel.ended() == ENDED


@in_loop
async def test_tunnel_ends_at_the_end_of_its_lease() -> None:
    async with LinkServer() as server, running(server, lease=0.3) as tunnel, stream(tunnel.session):
        assert await tunnel.ended() == ENDED


@pytest.mark.parametrize(("response", "error"), [(FORBIDDEN, Ended), (BUSY, Offline)])
@in_loop
async def test_first_websocket_is_tried_once(response: bytes, error: type[Exception]) -> None:
    async with LinkServer() as server:
        server.responses = [response]
        with pytest.raises(error):
            await Running(server, 3600).session.connect()


@pytest.mark.parametrize("carried", [True, False])
@in_loop
async def test_closing_resets_streams_at_the_device(carried: bool) -> None:
    async with LinkServer() as server, running(server) as tunnel, AsyncExitStack() as carrying:
        await carrying.enter_async_context(stream(tunnel.session))
        opened = await tunnel.link.message()
        tunnel.task.cancel()
        await asyncio.wait({tunnel.task})
        if not carried:
            await carrying.aclose()
        closing = asyncio.ensure_future(tunnel.session.close())
        assert await tunnel.link.message() == {"type": "reset", "s": opened["s"], "why": "closed"}
        assert await tunnel.link.closed() == 1000
        await closing


@in_loop
async def test_renewal_that_ends_the_websocket_first_is_quiet() -> None:
    async with LinkServer() as server, running(server, seconds=0.5) as tunnel, stream(tunnel.session) as opened:
        first = tunnel.link
        s = (await first.message())["s"]
        second = await server.accept()
        first.send({"type": "bye", "why": "replaced", "after": 0})
        assert await first.closed() == 1000
        attempts = 0

        async def send(message: Any) -> None:
            nonlocal attempts
            attempts += 1
            raise Offline("the connection was lost")

        assert tunnel.session._link is not None
        tunnel.session._link.send = send  # type: ignore[method-assign]
        opened.sendall(b"x")
        await asyncio.sleep(0.1)
        await second.welcome()
        assert (await second.message())["s"] == s
        assert (attempts, tunnel.notes) == (1, [])
