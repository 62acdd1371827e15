"""A client, the relay and a device's agent, in simulated time: tests with long waits take milliseconds."""

import base64
import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from bindery.connectivity import service_addresses
from bindery.connectivity.leases import ANY_CLIENT, Connection
from bindery.core import clock
from bindery.directory import users
from bindery.registry import identity
from bindery.registry.items import ServiceKind
from bindery.relay import exchanges, forwarding
from tests import calls, device_link, http_api, rufus
from tests.records import ADDRESS, connection
from tools import template

FRAME = 92_160
WINDOW = 8

Message = dict[str, Any]
Part = bytes | float
"""Bytes of a response, or seconds that the service waits."""
Service = Callable[[bytes], Iterable[Part]]


class Time:
    """Simulated time, which passes while the relay sleeps."""

    def __init__(self) -> None:
        self.start = 0
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.before_sleep: list[Callable[[], None]] = []

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        self.flush()
        while self._events and self._events[0][0] <= until:
            when, _, act = heapq.heappop(self._events)
            self.now = max(self.now, when)
            with calls.unrecorded():
                act()
            self.flush()
        self.now = until

    def flush(self) -> None:
        with calls.unrecorded():
            for act in self.before_sleep:
                act()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start = clock.now() - int(self.now * 1000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exchanges, "sleep", self.sleep)
            for module in (exchanges, forwarding):
                patch.setattr(module, "monotonic", lambda: self.now)
            patch.setattr(clock, "now", lambda: self.start + int(self.now * 1000))
            yield


@dataclass
class Faults:
    """What happens to messages, in each direction."""

    lost: float = 0
    repeated: float = 0
    delay: float = 0.005
    """Seconds at most."""
    seed: int = 0
    source: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.source = random.Random(self.seed)

    def delays(self) -> list[float]:
        """Return the delay of each copy of a message that arrives."""
        copies = 0 if self.source.random() < self.lost else 2 if self.source.random() < self.repeated else 1
        return [self.source.uniform(self.delay / 5, self.delay) for _ in range(copies)]


@dataclass
class Stream:
    """A stream at the agent."""

    arrived: dict[int, bytes] = field(default_factory=dict)
    last: int | None = None
    next: int = 0
    acknowledged: int = 0
    request: bytes = b""
    outgoing: list[bytes] = field(default_factory=list)
    complete: bool = False
    sent: int = 0
    limit: int = WINDOW


class Agent:
    """An agent with one service, which answers each request as the function `serve` does."""

    def __init__(self, time: Time, credential: str, serve: Service, faults: Faults | None = None) -> None:
        self.time = time
        self.serve = serve
        self.faults = faults or Faults()
        self.streams: dict[str, Stream] = {}
        self.known: set[str] = set()
        self.requests: list[bytes] = []
        self.got: list[Message] = []
        self.frozen = False
        self.drop: Callable[[Message], bool] = lambda message: False
        """Tells which messages, of either direction, are lost."""
        self.early = b""
        """Response that does not wait for the whole request."""
        self._credential = credential
        self._read: dict[str, int] = {}
        self.connections: list[device_link.Connection] = []
        self.connect()
        time.before_sleep.append(self._collect)

    @property
    def connection(self) -> device_link.Connection:
        return self.connections[-1]

    def connect(self) -> None:
        """Connect, closing an earlier connection."""
        made = device_link.connected(self._credential)
        self.connections.append(made)
        made.hello()
        self._read[made.id] = len(made.received)

    def restart(self) -> None:
        """Connect again without any memory."""
        self.streams.clear()
        self.known.clear()
        self.connect()

    def reset(self, why: str) -> None:
        """End all streams."""
        for name in list(self.streams):
            del self.streams[name]
            self.send({"type": "reset", "s": name, "why": why})

    def _collect(self) -> None:
        """Let what the relay has sent arrive after a delay."""
        for made in self.connections:
            new = made.received[self._read[made.id] :]
            self._read[made.id] = len(made.received)
            for message in new:
                self.got.append(message)
                if not self.drop(message):
                    for delay in self.faults.delays():
                        self.time.after(delay, lambda message=message: self._heed(message))

    def send(self, message: Message) -> None:
        """Send a message, which arrives after a delay."""
        if not self.drop(message):
            for delay in self.faults.delays():
                self.time.after(delay, lambda: self._arrive(message))

    def _arrive(self, message: Message) -> None:
        if self.connection.is_open:
            self.connection.send(message)

    def _heed(self, message: Message) -> None:
        if self.frozen or not self.connection.is_open or "s" not in message:
            return None
        name, kind = message["s"], message["type"]
        stream = self.streams.get(name)
        if kind == "reset":
            self.streams.pop(name, None)
        elif kind in ("open", "data"):
            if stream is None:
                if name in self.known:
                    return self.send({"type": "reset", "s": name, "why": "unknown"})
                stream = self.streams[name] = Stream()
                self.known.add(name)
            self._take(name, stream, message)
        elif kind == "need" and stream is None:
            self.send({"type": "need", "s": name, "from": 0, "not": []})
        elif stream is not None and kind == "ack":
            stream.limit = max(stream.limit, message["n"] + message["window"])
            self._push(name, stream)
        elif stream is not None and kind == "need":
            self._supply(name, stream, message)
        return None

    def _take(self, name: str, stream: Stream, message: Message) -> None:
        if message["n"] < stream.next or message["n"] in stream.arrived:
            return
        stream.arrived[message["n"]] = base64.b64decode(message.get("d", ""))
        if self.early and not stream.complete:
            self._answer(name, stream, iter([self.early]), b"")
        if message.get("fin"):
            stream.last = message["n"]
        while stream.next in stream.arrived:
            stream.request += stream.arrived[stream.next]
            stream.next += 1
        while stream.next - stream.acknowledged >= 4:
            stream.acknowledged += 4
            self.send({"type": "ack", "s": name, "n": stream.acknowledged, "window": WINDOW})
        if stream.last is not None and stream.next == stream.last + 1:
            self.requests.append(stream.request)
            self._answer(name, stream, iter(self.serve(stream.request)), b"")

    def _answer(self, name: str, stream: Stream, parts: Iterator[Part], left: bytes) -> None:
        """Send what a service returns, until it waits."""
        for part in parts:
            if isinstance(part, float):
                self._frames(name, stream, left)
                return self.time.after(part, lambda: self._answer(name, stream, parts, b""))
            left += part
        stream.complete = True
        self._frames(name, stream, left, fin=True)
        return None

    def _frames(self, name: str, stream: Stream, data: bytes, *, fin: bool = False) -> None:
        stream.outgoing += [data[start : start + FRAME] for start in range(0, len(data), FRAME)]
        if fin and not data:
            stream.outgoing.append(b"")
        self._push(name, stream)

    def _push(self, name: str, stream: Stream) -> None:
        while stream.sent < min(stream.limit, len(stream.outgoing)) and name in self.streams:
            self._send_frame(name, stream, stream.sent)
            stream.sent += 1

    def _send_frame(self, name: str, stream: Stream, number: int) -> None:
        data = stream.outgoing[number]
        fin = stream.complete and number + 1 == len(stream.outgoing)
        content = {"d": base64.b64encode(data).decode()} if data else {}
        self.send({"type": "data", "s": name, "n": number, **content, **({"fin": True} if fin else {})})

    def _supply(self, name: str, stream: Stream, need: Message) -> None:
        stream.limit = max(stream.limit, need["from"] + WINDOW)
        again = [number for number in range(need["from"], stream.sent) if number not in need["not"]]
        for number in again:
            self._send_frame(name, stream, number)
        self._push(name, stream)
        if again:
            return
        gap = [number for number in stream.arrived if number > stream.next]
        if gap or stream.next == 0:
            self.send({"type": "need", "s": name, "from": stream.next, "not": gap[:64]})
        else:
            self.send({"type": "still", "s": name})


@dataclass(frozen=True)
class Answer:
    """The relay's response."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class World:
    """A device that is online, with an HTTP service and a lease for it."""

    def __init__(
        self,
        serve: Service,
        *,
        kind: ServiceKind | None = "http",
        client_ip: str = ANY_CLIENT,
        faults: Faults | None = None,
        online: bool = True,
    ) -> None:
        rufus.install()
        users.create("ann", "acme")
        self.deviceid = rufus.bound()
        self.device = identity.company_device_of("acme", self.deviceid)
        service_addresses.assign(ADDRESS, self.device, kind)
        self.lease: Connection = connection("ann", ADDRESS, client_ip)
        self.time = Time()
        if online:
            self.agent = Agent(self.time, self.deviceid, serve, faults)
        self.round_trips: list[str] = []

    def connect(self) -> None:
        """Open a new connection, which ends the lease."""
        connection("ann", ADDRESS)

    def other(self) -> str:
        """Return the credential of another device."""
        return rufus.bound("DEVICE-124")

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        label: str | None = None,
        headers: Mapping[str, str] | None = None,
        cookies: list[str] | None = None,
        query: str = "",
        body: str | bytes | None = None,
        source_ip: str = http_api.SOURCE_IP,
    ) -> Answer:
        """Send a client's request."""
        host = {"host": f"{label or self.lease.label}.proxy.example.com"}
        event = http_api.event(
            method, path, headers=host | dict(headers or {}), query=query, body=body, source_ip=source_ip
        )
        if cookies:
            event["cookies"] = cookies
        function = template.relay()
        with self.time.running(), calls.recording(function.name) as invocation:
            answer = function.load()(event, None)
            # What was sent last arrives too.
            self.took, self.round_trips = self.time.now, list(invocation.dynamodb)
            self.time.sleep(1.0)
        body = answer["body"]
        return Answer(
            answer["statusCode"],
            {name.lower(): value for name, value in answer["headers"].items()},
            answer.get("cookies", []),
            base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode(),
        )

    def sent(self, kind: str) -> list[Message]:
        """Return the messages of a type that the relay has sent to the device."""
        return [message for message in self.agent.got if message["type"] == kind]


def plain(body: bytes, *headers: str) -> bytes:
    """Return a response with a length."""
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def echo(request: bytes) -> list[Part]:
    """Return a request's body."""
    return [plain(request.partition(b"\r\n\r\n")[2])]
