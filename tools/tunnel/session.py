"""A connection to the device link over which a lease's client opens streams."""

import asyncio
import contextlib
import random
import secrets
import ssl
import time
from collections.abc import Callable
from typing import Any, NoReturn

from agent.bindery_agent import (
    CONNECT_TIMEOUT,
    HEARTBEAT,
    NORMAL,
    RENEWAL,
    Link,
    Offline,
    Stream,
    Streams,
    WebSocket,
    carry,
    parse_bye,
    parse_lifetime,
    parse_number,
    parse_url,
    printable,
    within,
)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between attempts: a stream is lost after a minute."""
QUIET = 60.0
"""Seconds without a message after which the server is asked whether the lease has ended."""
HELLO = {"type": "hello", "v": 1}
ENDED = "the connection to the device has ended"


class Ended(Exception):
    """The lease has ended. The message says so."""


class Session:
    """Streams of a lease, over a WebSocket that is replaced before it ends and when it is lost.

    `connect`, then `run`, and `carry` for each stream, then `close`.
    """

    def __init__(
        self, url: str, credential: str, expires_at: float, note: Callable[[str], None], name: str | None = None
    ) -> None:
        """`expires_at` is the lease's end (Unix time), and `note` reports what happens to the WebSocket.

        `name` is the session's, 32 hexadecimal digits.

        Raises ValueError if the URL is not one of a device link.
        """
        self._server = parse_url(url)
        self._tls = ssl.create_default_context() if self._server.tls else None
        self._credential = credential
        self._expires_at = expires_at
        self._note = note
        self._header = f"Bindery-Session: {name or secrets.token_hex(16)}"
        self._streams = Streams()
        self._open: set[Stream] = set()
        self._link: Link | None = None
        self._online = asyncio.Event()
        self._sent_at = time.monotonic()

    async def connect(self) -> None:
        """Open the first WebSocket. Raises `Ended`, or `Offline` if the server cannot be reached."""
        self._use(await self._attempt())

    async def run(self) -> NoReturn:
        """Carry the streams. Raises `Ended`."""
        tasks = [asyncio.ensure_future(each) for each in (self._streams.run(self._send), self._ask())]
        try:
            while True:
                await self._keep()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def carry(self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream:
        """Carry a connection to a service of the device. Return the stream once both ends have closed it."""
        stream = self._streams.open(secrets.token_hex(16), service)
        self._open.add(stream)
        await carry(stream, reader, writer)
        # If it is cancelled instead, `close` resets the stream.
        self._open.discard(stream)
        return stream

    async def close(self) -> None:
        """Reset the streams and close the WebSocket, after `run`."""
        link = self._link
        for stream in list(self._open):
            stream.reset("closed")
            message = stream.outgoing()
            if link is not None and message is not None:
                with contextlib.suppress(Offline):
                    await link.send(message)
        if link is not None:
            await link.close(NORMAL)

    async def _keep(self) -> None:
        """Replace the WebSocket once it is about to end or is lost. Raises `Ended`."""
        old = self._link
        assert old is not None
        renewal = old.lifetime * random.uniform(*RENEWAL)  # noqa: S311 (not a secret)
        await asyncio.wait({old.task}, timeout=min(renewal, max(0, self._expires_at - time.time())))
        if time.time() >= self._expires_at:
            raise Ended(ENDED)
        lost = old.task.done()
        if lost:
            _check(old.task.result())
            self._note(f"{old.task.result()}; connecting again")
        self._use(await self._reopen())
        if old.task.done():
            self._streams.retry()
        await old.close(NORMAL)
        if lost:
            self._note("connected again")

    async def _reopen(self) -> Link:
        """Open another WebSocket, with as many attempts as it takes. Raises `Ended`."""
        pause = FIRST_PAUSE
        while True:
            with contextlib.suppress(Offline):
                return await self._attempt()
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 (not a secret)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self) -> Link:
        """Return a WebSocket once the server has welcomed it. Raises `Ended` and `Offline`."""
        try:
            return await within(CONNECT_TIMEOUT, self._welcomed())
        except Offline as failure:
            _check(failure)
            raise

    async def _welcomed(self) -> Link:
        socket = await WebSocket.open(self._server, self._credential, self._tls, self._header)
        link = Link(self._on_message, socket)
        try:
            await link.send(HELLO)
            either: set[asyncio.Future[Any]] = {link.task, link.welcomed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not link.welcomed.done():
                raise link.task.result()
        except BaseException:
            await link.close(NORMAL)
            raise
        return link

    def _use(self, link: Link) -> None:
        self._link = link
        self._online.set()

    async def _ask(self) -> NoReturn:
        """Send `hello` while nothing else is sent. If the lease has ended, the server answers `bye`."""
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + QUIET - time.monotonic()))
            if time.monotonic() >= self._sent_at + QUIET:
                await self._send(HELLO)

    async def _send(self, message: dict[str, Any]) -> None:
        while True:
            await self._online.wait()
            link = self._link
            assert link is not None
            try:
                await link.send(message)
                self._sent_at = time.monotonic()
                return
            except Offline:
                await asyncio.wait({link.task})
                # Until `_keep` has replaced it.
                if self._link is link:
                    self._online.clear()

    async def _on_message(self, link: Link, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "welcome" if not link.welcomed.done():
                heartbeat = parse_number(message.get("heartbeat"))
                link.heartbeat = max(1.0, heartbeat) if heartbeat > 0 else HEARTBEAT
                link.lifetime = parse_lifetime(message.get("until"), link.headers.get("date", ""))
                link.welcomed.set_result(None)
            case "welcome":
                pass  # the lease has not ended
            case "bye":
                bye = parse_bye(message)
                raise Offline(f"the server ended the connection ({bye.why})", bye=bye)
            case "refused":
                self._note(f"the server refused a message: {printable(str(message.get('why')))}")
            case None if not link.welcomed.done():
                raise Offline(f"the server reported: {printable(str(message.get('message')))}")
            case _:
                self._streams.receive(message)


def _check(failure: Offline) -> None:
    """Raise `Ended` if the server no longer accepts the lease."""
    if failure.status in (401, 403) or (failure.bye is not None and failure.bye.why == "ended"):
        raise Ended(ENDED)
    if failure.bye is not None and failure.bye.why != "replaced":
        raise Ended(str(failure))
