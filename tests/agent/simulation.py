"""Streams in virtual time, over a network that loses, duplicates, reorders and delays messages by a seed."""

import asyncio
import base64
import functools
import json
import random
import selectors
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ParamSpec, Self

from agent.bindery_agent import ACK_EVERY, MAX_DATA, WINDOW, Stream, Streams, carry

TIME_LIMIT = 4000
"""Virtual seconds that a test may take."""

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Advances the time of its loop instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "nothing can happen any more"
            self.loop.now += max(timeout, 0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Event loop in which waiting takes no time. Sockets must be pairs within the process."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def simulated(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            try:
                async with asyncio.timeout(TIME_LIMIT):
                    await test(*args, **kwargs)
            finally:
                for pair in _opened:
                    pair.abort()
                _opened.clear()
                await asyncio.sleep(1)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(limited())

    return run


Faults = Callable[[dict[str, Any]], list[float]]
"""For a message, the delay of each copy that arrives."""


def perfect(message: dict[str, Any]) -> list[float]:
    return [0.02]


def faulty(seed: int, *, loss: float = 0.1, duplication: float = 0.2, delay: float = 0.15) -> Faults:
    chance = random.Random(seed)

    def faults(message: dict[str, Any]) -> list[float]:
        if chance.random() < loss:
            return []
        copies = 1 + (chance.random() < duplication)
        return [chance.uniform(0, delay) for _ in range(copies)]

    return faults


class Network:
    """The agent's streams and a peer's, which send each other messages."""

    def __init__(self, serve: Callable[[Stream], Coroutine[Any, Any, None]], faults: Faults = perfect) -> None:
        self.loop = asyncio.get_running_loop()
        self.faults = faults
        self.agent = Streams(serve, self.loop.time)
        self.client = Streams(None, self.loop.time)
        self.peer: Callable[[dict[str, Any]], None] = self.client.receive
        """What takes the agent's messages."""
        self.to_agent: list[dict[str, Any]] = []
        self.to_peer: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.ensure_future(self.client.run(self._send_to_agent)),
            asyncio.ensure_future(self.agent.run(self._send_to_peer)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def send(self, message: dict[str, Any]) -> None:
        self.to_agent.append(message)
        self._deliver(self.agent.receive, message)

    def types(self) -> list[str]:
        """Return the types of the agent's messages."""
        return [message["type"] for message in self.to_peer]

    async def _send_to_agent(self, message: dict[str, Any]) -> None:
        self.send(message)

    async def _send_to_peer(self, message: dict[str, Any]) -> None:
        self.to_peer.append(message)
        self._deliver(lambda copy: self.peer(copy), message)

    def _deliver(self, receive: Callable[[dict[str, Any]], None], message: dict[str, Any]) -> None:
        text = json.dumps(message)
        for delay in self.faults(message):
            self.loop.call_later(delay, receive, json.loads(text))


class Reset(Exception):
    """The agent reset the stream."""


class Poller:
    """Peer of a stream without `acks`: it polls for the answer, and then vanishes."""

    def __init__(self, network: Network, s: str = "s", service: str = "http") -> None:
        self._network = network
        self._s = s
        self._service = service
        self._limit = WINDOW
        self._sent = 0
        self._frames: dict[int, dict[str, Any]] = {}
        self._again: set[int] = set()
        self._why = ""
        self._heard = network.loop.time()
        network.peer = self._receive

    async def request(self, data: bytes) -> bytes:
        """Send a request and return the answer. Raises Reset."""
        starts = range(0, max(1, len(data)), MAX_DATA)
        parts = [data[start : start + MAX_DATA] for start in starts]
        told = 0
        while True:
            for number in [*self._again, *range(self._sent, min(len(parts), self._limit))]:
                self._send_part(number, parts)
                self._sent = max(self._sent, number + 1)
            self._again = set()
            arrived = self._arrived()
            if self._why:
                raise Reset(self._why)
            if arrived and self._frames[arrived - 1].get("fin"):
                return b"".join(base64.b64decode(self._frames[number].get("d", "")) for number in range(arrived))
            if arrived >= told + ACK_EVERY:
                told = arrived
                self._network.send({"type": "ack", "s": self._s, "n": arrived, "window": WINDOW})
            if self._network.loop.time() > self._heard + 1:
                self._heard = self._network.loop.time()
                beyond = sorted(number for number in self._frames if number > arrived)
                self._network.send({"type": "need", "s": self._s, "from": arrived, "not": beyond})
            await asyncio.sleep(0.02)

    def _send_part(self, number: int, parts: list[bytes]) -> None:
        message: dict[str, Any] = {"type": "data", "s": self._s, "n": number}
        if number == 0:
            message |= {"type": "open", "svc": self._service}
        if parts[number]:
            message["d"] = base64.b64encode(parts[number]).decode()
        if number == len(parts) - 1:
            message["fin"] = True
        self._network.send(message)

    def _arrived(self) -> int:
        arrived = 0
        while arrived in self._frames:
            arrived += 1
        return arrived

    def _receive(self, message: dict[str, Any]) -> None:
        self._heard = self._network.loop.time()
        match message:
            case {"type": "data", "n": number}:
                self._frames[number] = message
            case {"type": "ack", "n": arrived, "window": window}:
                self._limit = max(self._limit, arrived + window)
            case {"type": "need", "from": first, "not": others}:
                self._again = set(range(first, self._sent)) - set(others)
            case {"type": "reset", "why": why}:
                self._why = why


_opened: list["Pair"] = []


class Pair:
    """A local connection: the end that a stream carries, and the program's end."""

    async def open(self) -> Self:
        near, far = socket.socketpair()
        self._near = await asyncio.open_connection(sock=near)
        self.reader, self.writer = await asyncio.open_connection(sock=far)
        _opened.append(self)
        return self

    def carry(self, stream: Stream) -> asyncio.Future[None]:
        """Carry bytes between the connection and a stream."""
        return asyncio.ensure_future(carry(stream, *self._near))

    def abort(self) -> None:
        self.writer.transport.abort()
        self._near[1].transport.abort()

    async def send(self, data: bytes) -> None:
        """Send data, and end this direction."""
        self.writer.write(data)
        await self.writer.drain()
        self.writer.write_eof()

    async def exchange(self, data: bytes) -> bytes:
        """Send data and return what arrives, until both directions end."""
        _, received = await asyncio.gather(self.send(data), self.reader.read())
        self.writer.close()
        return received


async def _request(reader: asyncio.StreamReader, stream: Stream) -> bytes:
    """Return a request. The connection does not show its end, so the stream does instead of HTTP."""
    found = bytearray()

    async def read() -> None:
        while data := await reader.read(65536):
            found.extend(data)

    reading = asyncio.ensure_future(read())
    while not reading.done() and not (stream._peer_finished and stream.peek() is None):
        await asyncio.sleep(0.01)
    if reading.done():
        reading.result()
    else:
        await asyncio.sleep(0.01)
        reading.cancel()
    return bytes(found)


class Service:
    """A service that gets all of a request, and then answers."""

    def __init__(self, answer: bytes, pause: float = 0) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._pause = pause

    async def serve(self, stream: Stream) -> None:
        pair = await Pair().open()
        carrying = pair.carry(stream)
        self.requests.append(await _request(pair.reader, stream))
        await asyncio.sleep(self._pause)
        await pair.send(self._answer)
        await carrying
        pair.writer.close()
