"""A test of the device link: an agent with an echo service, and a tunnel to it, in one process."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from agent.bindery_agent import Agent, Link, Offline, Service, Stream, log
from tools.tunnel import client
from tools.tunnel.session import Ended, Session

SECONDS = 30
"""Time for a test."""

_ONLINE_SECONDS = 15
_CHUNK = 65536
_ADVICE = "This machine must be able to open WebSockets to that host. The log of link.authorize has refused ones"


class LinkError(Exception):
    """The device link does not work. The message says why."""


def measure(test: Mapping[str, Any], sizes: Sequence[int]) -> list[float]:
    """Return the seconds that each number of bytes takes to a device and back. Raises `LinkError`.

    `test` is the admin API's: the URL, and the credentials of a device and of a connection to it.
    """
    return asyncio.run(_measure(test, sizes))


async def _measure(test: Mapping[str, Any], sizes: Sequence[int]) -> list[float]:
    url, times = test["url"], []
    session = Session(url, test["credential"], test["expires_at"] / 1000, log.debug, test["run"])

    async def exchange() -> None:
        async with _connection(session) as (reader, writer, stream):
            for size in sizes:
                try:
                    times.append(await _exchange(reader, writer, secrets.token_bytes(size)))
                except (asyncio.IncompleteReadError, ConnectionError):
                    raise LinkError(client.describe(await stream)) from None

    try:
        async with asyncio.timeout(SECONDS), _echo_service() as port, _agent(url, test["device_key"], port):
            await client.carry_during(session, exchange)
    except TimeoutError:
        raise LinkError(f"no answer within {SECONDS} s") from None
    except Offline as failure:
        raise LinkError(f"a tunnel cannot connect to {url}: {failure}. {_ADVICE}") from None
    except Ended:
        raise LinkError("the server refused the tunnel, or ended it") from None
    return times


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> float:
    began = time.perf_counter()
    writer.write(data)
    found = await reader.readexactly(len(data))
    took = time.perf_counter() - began
    if found != data:
        raise LinkError("other bytes came back than were sent")
    return took


@asynccontextmanager
async def _connection(
    session: Session,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, "asyncio.Task[Stream]"]]:
    """Connect to the service through a session. The task returns the stream once it has ended."""
    ours, theirs = socket.socketpair()
    carrying = asyncio.ensure_future(session.carry("echo", *await asyncio.open_connection(sock=theirs)))
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield reader, writer, carrying
    finally:
        writer.close()
        carrying.cancel()
        await asyncio.wait({carrying})


@asynccontextmanager
async def _echo_service() -> AsyncIterator[int]:
    """Serve on loopback, and yield the port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _agent(url: str, credential: str, port: int) -> AsyncIterator[None]:
    """Run an agent, and wait until it is online. Raises `LinkError`."""
    with tempfile.TemporaryDirectory() as folder, _warnings() as warnings:
        file = os.path.join(folder, "credential")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as opened:
            opened.write(credential)
        agent, online = Agent(url, file, [Service("echo", "127.0.0.1", port)]), asyncio.Event()
        welcome = agent.handlers["welcome"]

        async def welcomed(link: Link, message: dict[str, Any]) -> None:
            await welcome(link, message)
            online.set()

        agent.handlers["welcome"] = welcomed
        running = asyncio.ensure_future(agent.run())
        try:
            async with asyncio.timeout(_ONLINE_SECONDS):
                await online.wait()
        except TimeoutError:
            raise LinkError(f"a device cannot connect to {url}: {_reason(warnings)}. {_ADVICE}") from None
        else:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})


def _reason(warnings: Sequence[str]) -> str:
    """Return why an agent could not connect, without its advice, which is for devices."""
    if not warnings:
        return f"no answer within {_ONLINE_SECONDS} s"
    return warnings[0].removeprefix("offline: ").partition("; next attempt")[0].partition(". ")[0]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the agent's warnings instead of printing them."""
    found: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)
