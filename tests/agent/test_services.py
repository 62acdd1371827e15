"""The agent carries streams to its services, through lost and renewed connections and within bounded memory."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.bindery_agent import Service, Streams, carry
from tests.agent.link_server import Connection, LinkServer, Online, connected, in_loop

pytestmark = pytest.mark.usefixtures("quick_retries")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def service(serve: Serve, name: str = "echo") -> AsyncIterator[Service]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Service(name, "127.0.0.1", server.sockets[0].getsockname()[1])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()


def opening(s: str = "s", svc: str = "echo", data: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"type": "open", "s": s, "svc": svc, "n": 0, "d": base64.b64encode(data).decode(), **more}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@in_loop
async def test_closed_port_is_refused(tmp_path: Path, host: str) -> None:
    async with service(echo) as closed:
        pass
    services = [closed._replace(host=host)]
    async with connected(tmp_path, services=services) as (_, agent, link):
        link.send(opening())
        assert await link.message() == {"type": "reset", "s": "s", "why": "refused"}
        await agent.line("cannot connect to the service echo")


@in_loop
async def test_name_without_address_is_unreachable(tmp_path: Path) -> None:
    services = [Service("echo", "device.invalid", 80)]
    async with connected(tmp_path, services=services) as (_, _, link):
        link.send(opening())
        assert await link.message() == {"type": "reset", "s": "s", "why": "unreachable"}


@in_loop
async def test_only_services_of_the_agent_are_opened(tmp_path: Path) -> None:
    async with service(echo) as http, connected(tmp_path, services=[http]) as (_, _, link):
        for name in ("ssh", f"127.0.0.1:{http.port}", ""):
            link.send(opening(s=f"s{name}", svc=name))
            assert await link.message() == {"type": "reset", "s": f"s{name}", "why": "unknown-service"}


def reset(link: Connection, server: LinkServer) -> None:
    link.send({"type": "reset", "s": "s", "why": "ended"})


def say_bye(link: Connection, server: LinkServer) -> None:
    link.send({"type": "bye", "why": "unbound", "after": 600})


def refuse_the_credential(link: Connection, server: LinkServer) -> None:
    server.responses = [b"HTTP/1.1 403 Forbidden\r\n\r\n"]
    link.drop()


@pytest.mark.parametrize("end", [reset, say_bye, refuse_the_credential])
@in_loop
async def test_end_of_access_resets_service_connections(
    tmp_path: Path, end: Callable[[Connection, LinkServer], None]
) -> None:
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            await reader.read()
        except ConnectionResetError as error:
            ended.set_result(error)
        writer.close()

    async with service(serve) as ssh, connected(tmp_path, services=[ssh]) as (server, _, link):
        link.send(opening())
        assert (await link.message())["d"] == "aGVsbG8="
        end(link, server)
        assert isinstance(await ended, ConnectionResetError)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request of five bytes, unless the client has left: as many HTTP services understand an end."""
    request = await reader.readexactly(5)
    await asyncio.sleep(0.05)
    if not reader.at_eof():
        writer.write(request)
        await writer.drain()
    writer.close()


@in_loop
async def test_service_does_not_see_the_end_of_a_request(tmp_path: Path) -> None:
    async with service(answer) as http, connected(tmp_path, services=[http]) as (_, _, link):
        link.send(opening(s="last", data=b"hello", fin=True))
        assert await link.message() == {"type": "data", "s": "last", "n": 0, "d": "aGVsbG8=", "fin": True}


class Tunnel:
    """Client of a stream with acks, over the newest of several connections to the agent."""

    def __init__(self, data: bytes) -> None:
        self.streams = Streams()
        self.received = asyncio.StreamReader()
        self._data = data
        self._links: list[Connection] = []
        self._tasks: list[asyncio.Task[None]] = []

    def use(self, link: Connection) -> None:
        """Send over a connection from now on, and receive from it too."""
        self._links.append(link)
        self._tasks.append(asyncio.create_task(self._receive(link)))
        self.streams.retry()

    async def _receive(self, link: Connection) -> None:
        with suppress(EOFError, ConnectionError, AssertionError):  # the connection was closed
            while True:
                self.streams.receive(await link.message())

    async def _send(self, message: dict[str, Any]) -> None:
        self._links[-1].send(message)
        await asyncio.sleep(0.001)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = self.streams.open("s", "echo")
        await carry(stream, reader, writer)
        assert stream.why is None

    async def exchange(self, progress: Callable[[int], Awaitable[None]]) -> bytes:
        """Send the data through the tunnel, and return what comes back."""
        self._tasks.append(asyncio.create_task(self.streams.run(self._send)))
        received = bytearray()
        async with service(self._accept) as local:
            reader, writer = await asyncio.open_connection(local.host, local.port)
            writer.write(self._data)
            writer.write_eof()
            while data := await reader.read(65536):
                received += data
                await progress(len(received))
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return bytes(received)


@pytest.mark.parametrize("seconds", [7200, 1], ids=["lost", "renewed"])
@in_loop
async def test_stream_survives_a_lost_or_renewed_connection(tmp_path: Path, seconds: int) -> None:
    tunnel = Tunnel(random.Random(1).randbytes(2_000_000))
    async with service(echo) as http, LinkServer() as server, Online(server.url, tmp_path, services=[http]):
        links = [await server.welcomed(seconds=seconds)]
        tunnel.use(links[0])

        async def replace(size: int) -> None:
            if size > 500_000 and len(links) == 1:
                if seconds > 1:
                    links[0].drop()
                links.append(await server.welcomed())
                tunnel.use(links[1])

        assert await tunnel.exchange(replace) == tunnel._data
    assert len(links) == 2
