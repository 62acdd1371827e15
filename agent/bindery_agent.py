#!/usr/bin/env python3
"""Keep a device online: hold a WebSocket to a Bindery server, and open it again when it ends.

    python3 bindery_agent.py --url wss://HOST/link --credential-file FILE [--service NAME=HOST:PORT ...]

One file for Python 3.8 or newer with nothing but the standard library. docs/agent.md describes the protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import calendar
import errno
import hashlib
import ipaddress
import json
import logging
import os
import random
import re
import signal
import socket
import ssl
import stat
import struct
import sys
import time
from typing import Any, Awaitable, Callable, Coroutine, Dict, NamedTuple, NoReturn, Sequence, TypeVar
from urllib.parse import urlsplit

VERSION = "0.2.0"

EXIT_CREDENTIAL = 3
"""Exit code if the credential file cannot be used at the start. Arguments that cannot be used are argparse's 2."""

CONNECT_TIMEOUT = 30.0
"""Seconds for everything up to the server's `welcome`."""
CLOSE_TIMEOUT = 2.0
"""Seconds that each half of closing a connection may take."""
PING_INTERVAL = 45.0
PING_TIMEOUT = 20.0
"""Seconds after a ping frame in which the server must have sent something, or the link is dead."""
HEARTBEAT = 540.0
"""Seconds between `ping` messages if `welcome` has no valid `heartbeat`."""

LIFETIME = 7200.0
"""Maximum duration of an API Gateway connection in seconds."""
RENEWAL = (0.825, 0.917)
"""Part of its lifetime after which a connection is replaced: 99 to 110 of 120 minutes."""
STABLE = 60.0
"""A connection that lasted this many seconds ends a series of failures."""
FIRST_BACKOFF = 0.5
MAX_BACKOFF = 300.0
REFUSED_WAIT = 600.0
"""Seconds to wait after a refused credential, and after a `bye` without a valid `after`."""
MAX_BYE_WAIT = 86400.0
JITTER = 0.1

MAX_FRAME = 32 * 1024
"""API Gateway closes connections that send larger frames, header included."""
MAX_MESSAGE = 128 * 1024
MAX_CREDENTIAL = 4096
MAX_SERVICES = 16
MAX_RESULTS = 100
"""Results that are kept, in case a command arrives again."""

STREAM_MESSAGES = ("open", "data", "ack", "need", "still", "reset")
MAX_STREAMS = 64
"""Streams that can be open at the same time."""
MAX_STREAM_ID = 200
MAX_EARLY = 64
"""Frames that wait for the first one of their streams."""
MAX_ENDED = 256
"""Streams that are remembered after their end."""
MAX_HELD = 4 * 1024 * 1024
"""Bytes of all streams that are kept in memory."""
MAX_DATA = 92160
"""Bytes in a frame of a stream. In base64 they fit into MAX_MESSAGE."""
SMALL_DATA = 16384
"""Bytes in a frame when memory is short."""
WINDOW = 8
"""Frames that may be sent before an acknowledgement."""
MAX_WINDOW = 64
ACK_EVERY = 4
ACK_DELAY = 0.2
RETRIES = (1.0, 2.0, 4.0, 5.0)
"""Seconds without progress before each time that a frame is sent again; the last one repeats."""
SILENCE = 60.0
"""Seconds without a message of the peer before it is asked, or before a stream without `acks` ends."""
LOST = 60.0
"""Seconds without an acknowledgement after which a stream is lost."""
EARLY = 5.0
"""Seconds that frames wait for the first one of their stream."""
LINGER = 30.0
"""Seconds that an ended stream still answers its peer."""
SHORT_LINGER = 5.0
"""The same when memory is short, or when there are many such streams."""
HOLD = 0.01
"""Seconds that a frame waits for more data. Without `acks` each frame costs more than this."""
SERVICE_TIMEOUT = 10.0
"""Seconds in which a service must accept a connection."""
READ_LIMIT = 16 * 1024
"""Half the bytes that are kept from a service while its stream takes none."""
RECEIVE_BUFFER = 16 * 1024
"""Bytes that the system keeps from a service; asyncio reads as many at once."""
FOREVER = float("inf")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, INVALID_TEXT, TOO_LARGE = 1000, 1001, 1002, 1003, 1007, 1009

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
USER_AGENT = "bindery-agent/{} Python/{}.{}.{} {}/{}".format(
    VERSION, *sys.version_info[:3], os.uname().sysname, os.uname().machine
)

log = logging.getLogger("bindery_agent")
T = TypeVar("T")


class Bye(NamedTuple):
    """The server's announcement that it ends the connection."""

    why: str
    after: float
    """Seconds before which the agent must not connect again."""


class Offline(Exception):
    """The connection could not be established, or it ended."""

    def __init__(self, reason: str, *, status: int = 0, bye: Bye | None = None, code: int = NORMAL) -> None:
        super().__init__(reason)
        self.status = status
        """HTTP status of the refused upgrade, or 0."""
        self.bye = bye
        self.code = code
        """Close code to send, if the connection is still open."""


class CredentialError(Offline):
    """The credential file cannot be used."""


# ── arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Server(NamedTuple):
    """Parsed URL of the device link."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """URL for messages."""
        return f"{'wss' if self.tls else 'ws'}://{self.authority}{self.path}"


class Service(NamedTuple):
    """TCP endpoint near the agent that the server may ask it to open."""

    name: str
    host: str
    port: int


def is_loopback(host: str) -> bool:
    """Return True if a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def parse_url(url: str) -> Server:
    """Parse the URL of a device link. Raises ValueError."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL may have only printable ASCII characters and no spaces")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("the URL has a user name or password; the credential belongs in --credential-file")
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.fragment:
        raise ValueError(f"{url} is not a WebSocket URL such as wss://link.example.com/link")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ValueError(f"{url} would send the credential unencrypted; use wss:// (ws:// is only for this machine)")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = parts.scheme == "wss"
    return Server(tls, parts.hostname, parts.port or (443 if tls else 80), path)


def parse_service(text: str) -> Service:
    """Parse NAME=HOST:PORT. Raises ValueError."""
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not SERVICE_NAME.fullmatch(name) or not host or not host.isprintable() or " " in host:
        raise ValueError(f"{text} is not NAME=HOST:PORT, such as http=127.0.0.1:80 (lower-case letters, digits and -)")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"{text} has no port from 1 to 65535")
    return Service(name, host, int(port))


def read_credential(path: str) -> str:
    """Return the credential in a file. Raises CredentialError, without any of the content in its text."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_CREDENTIAL + 1)
    except OSError as error:
        raise CredentialError(f"cannot read the credential file {path}: {error.strerror}") from error
    if mode & stat.S_IRWXO:
        raise CredentialError(
            f"other users may access the credential file {path} (mode {mode:04o}). Run: chmod 600 {path}"
        )
    credential = content.strip()
    if not credential:
        raise CredentialError(f"the credential file {path} is empty")
    if len(content) > MAX_CREDENTIAL or not all(0x21 <= byte <= 0x7E for byte in credential):
        raise CredentialError(f"the credential file {path} must have one line of printable ASCII without spaces")
    return credential.decode("ascii")


# ── WebSocket (RFC 6455) ─────────────────────────────────────────────────────────────────────────────────────────────


class Frame(NamedTuple):
    """One received frame."""

    fin: bool
    opcode: int
    payload: bytes


def mask(payload: bytes, key: bytes) -> bytes:
    """XOR a payload with a repeated key of four bytes, as one large integer because a loop over bytes is slow."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def encode_frame(opcode: int, payload: bytes, key: bytes, *, fin: bool = True) -> bytes:
    """Return a masked frame."""
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 0x10000:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + key + mask(payload, key)


def encode_message(text: str, keys: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return a text message as one frame, or as several if one would be too large. Raises ValueError."""
    payload = text.encode()
    if len(payload) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_MESSAGE}")
    step = MAX_FRAME - 8  # header of 4 bytes and key of 4 bytes
    starts = range(0, len(payload) or 1, step)
    return b"".join(
        encode_frame(
            CONTINUATION if start else TEXT,
            payload[start : start + step],
            keys(4),
            fin=start + step >= len(payload),
        )
        for start in starts
    )


def protocol_error(text: str, code: int = PROTOCOL_ERROR) -> Offline:
    """Return the error for a server that violates RFC 6455, or sends something that agents do not accept."""
    return Offline(f"the server sent {text}", code=code)


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Read a frame. Raises Offline if it is invalid, and EOFError at the end of the stream."""
    first, second = await reader.readexactly(2)
    fin, opcode, size = bool(first & 0x80), first & 0x0F, second & 0x7F
    if first & 0x70 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise protocol_error("a frame with reserved bits or an unknown opcode")
    if second & 0x80:
        raise protocol_error("a masked frame")
    if opcode >= CLOSE and (size > 125 or not fin):
        raise protocol_error("a fragmented or long control frame")
    if size >= 126:
        form, smallest = ("!H", 126) if size == 126 else ("!Q", 0x10000)
        (size,) = struct.unpack(form, await reader.readexactly(struct.calcsize(form)))
        if size < smallest:
            raise protocol_error("a length in more bytes than necessary")
    if size > MAX_MESSAGE:
        raise protocol_error(f"a frame of {size} bytes", TOO_LARGE)
    return Frame(fin, opcode, await reader.readexactly(size))


def describe_close(payload: bytes) -> str:
    """Return the code and reason of a close frame for messages. Raises Offline if the frame is invalid."""
    if not payload:
        return "without a code"
    if len(payload) == 1:
        raise protocol_error("a close frame with half a code")
    (code,) = struct.unpack("!H", payload[:2])
    if not ((1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999):
        raise protocol_error(f"the invalid close code {code}")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError as error:
        raise protocol_error("a close reason that is not UTF-8", INVALID_TEXT) from error
    return f"with code {code}" + (f", {printable(reason)}" if reason else "")


def accept_for(key: str) -> str:
    """Return the Sec-WebSocket-Accept header that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + ACCEPT_GUID).digest()).decode()  # noqa: S324 (required by RFC 6455)


def upgrade_request(server: Server, key: str, credential: str, *headers: str) -> bytes:
    """Return the HTTP request that opens a WebSocket."""
    lines = (
        f"GET {server.path} HTTP/1.1",
        f"Host: {server.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {credential}",
        f"User-Agent: {USER_AGENT}",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode()


def check_upgrade(head: bytes, key: str) -> dict[str, str]:
    """Return the headers of the response to an upgrade request. Raises Offline if the server refused it."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: .*)?", status_line)
    if not status:
        raise Offline("the server does not speak HTTP/1.1. Check the URL")
    if status[1] != "101":
        raise Offline(describe_status(int(status[1])), status=int(status[1]))
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection = [token.strip() for token in headers.get("connection", "").lower().split(",")]
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in connection:
        raise Offline("the server did not switch to the WebSocket protocol. Check the URL")
    if headers.get("sec-websocket-accept") != accept_for(key):
        raise Offline("the server returned a wrong Sec-WebSocket-Accept")
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        raise Offline("the server chose an extension or a subprotocol that the agent did not offer")
    return headers


def describe_status(status: int) -> str:
    """Return the reason for a refused upgrade, and what to do about it."""
    if status in (401, 403):
        return (
            f"the server refused the credential (HTTP {status}). Check that the device is bound and not banned, and "
            "that the credential file has its current credential"
        )
    if status == 429:
        return "the server has too many requests (HTTP 429)"
    if status >= 500:
        return f"the server failed (HTTP {status})"
    return f"the server refused the connection (HTTP {status}). Check the URL"


def describe_failure(error: Exception, server: Server) -> str:
    """Return the reason for a failed connection, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"cannot verify the certificate of {server.host} ({error.verify_message}). Check this device's clock "
            f"({time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC) and its CA certificates, or use --ca-file"
        )
    if isinstance(error, EOFError):
        return "the server closed the connection"
    if isinstance(error, asyncio.LimitOverrunError):
        return "the server does not speak WebSocket. Check the URL"
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return printable(text)


def printable(text: str) -> str:
    """Return a server's text in a form that is safe in a log line."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


class WebSocket:
    """Client end of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> None:
        self._reader = reader
        self._writer = writer
        # Before Python 3.10, drain() must not be called concurrently.
        self._drain = asyncio.Lock()
        self.headers = headers
        """Headers of the server's response, with names in lower case."""
        self.local_ip: str = writer.get_extra_info("sockname")[0]
        self.heard = time.monotonic()
        """Time at which the last frame arrived."""

    @classmethod
    async def open(cls, server: Server, credential: str, tls: ssl.SSLContext | None, *headers: str) -> WebSocket:
        """Connect to a server. Raises Offline."""
        try:
            # Without a delay, a network with broken IPv6 would use up the time before IPv4 is tried.
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=tls, happy_eyeballs_delay=0.25)
            try:
                key = base64.b64encode(os.urandom(16)).decode()
                writer.write(upgrade_request(server, key, credential, *headers))
                head = await reader.readuntil(b"\r\n\r\n")
                return cls(reader, writer, check_upgrade(head[:-4], key))
            except BaseException:
                writer.transport.abort()
                raise
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            raise Offline(describe_failure(error, server)) from error

    async def send(self, text: str) -> None:
        """Send a text message. Raises Offline, or ValueError if it is too large."""
        if self._writer.is_closing():
            raise Offline("the connection was lost")
        self._writer.write(encode_message(text))
        try:
            async with self._drain:
                await self._writer.drain()
        except OSError as error:
            raise Offline("the connection was lost") from error

    def ping(self) -> None:
        """Send a ping frame."""
        self._control(PING, b"")

    def _control(self, opcode: int, payload: bytes) -> None:
        # Not drained: a receiver that waits for the peer to read while the peer does the same would never end.
        if not self._writer.is_closing():
            self._writer.write(encode_frame(opcode, payload, os.urandom(4)))

    async def receive(self) -> str:
        """Return the next text message, and answer control frames. Raises Offline."""
        message: bytearray | None = None
        while True:
            try:
                frame = await read_frame(self._reader)
            except (OSError, EOFError) as error:
                raise Offline("the connection was lost") from error
            self.heard = time.monotonic()
            if frame.opcode >= CLOSE:
                self._answer(frame)
                continue
            if frame.opcode == BINARY:
                raise protocol_error("a binary message", UNSUPPORTED)
            if (frame.opcode == TEXT) != (message is None):
                raise protocol_error("fragments in the wrong order")
            message = (message or bytearray()) + frame.payload
            if len(message) > MAX_MESSAGE:
                raise protocol_error(f"a message of more than {MAX_MESSAGE} bytes", TOO_LARGE)
            if frame.fin:
                try:
                    return message.decode()
                except UnicodeDecodeError as error:
                    raise protocol_error("a text that is not UTF-8", INVALID_TEXT) from error

    def _answer(self, frame: Frame) -> None:
        """Answer a control frame. Raises Offline if it is a close frame."""
        if frame.opcode == PING:
            self._control(PONG, frame.payload)
        elif frame.opcode == CLOSE:
            said = describe_close(frame.payload)
            self._control(CLOSE, frame.payload[:2])
            self._writer.close()
            raise Offline(f"the server closed the connection {said}")

    async def close(self, code: int) -> None:
        """Send a close frame unless the connection is closed, wait for the server's, and close the connection."""
        try:
            if not self._writer.is_closing():
                self._control(CLOSE, struct.pack("!H", code))
                await within(CLOSE_TIMEOUT, self._until_close())
            self._writer.close()
            await within(CLOSE_TIMEOUT, self._writer.wait_closed())
        except (Offline, OSError, EOFError) as error:
            log.debug("closed without the server's close frame: %s", error)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection if it is still open."""
        self._writer.transport.abort()

    async def _until_close(self) -> None:
        while (await read_frame(self._reader)).opcode != CLOSE:
            pass


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine. Raises Offline when the time is over.

    asyncio.wait_for can lose a cancellation in Python before 3.12.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise Offline(f"no answer within {seconds:g} s")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


# ── when to connect ──────────────────────────────────────────────────────────────────────────────────────────────────


class Schedule:
    """Time of the next connection attempt."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._failures = 0
        self._online_since: float | None = None
        self._retrying = False
        """True if the last attempt failed."""
        self._due = clock()

    def wait(self) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self._due - self._clock())

    def online(self, lifetime: float) -> None:
        """Plan the replacement of a connection that was established now."""
        self._end_series()
        self._online_since = self._clock()
        self._retrying = False
        self._due = self._clock() + lifetime * self._uniform(*RENEWAL)

    def failed(self, status: int = 0, bye: Bye | None = None) -> None:
        """Plan the next attempt after one that failed."""
        self._due = self._clock() + self._pause(status, bye)
        self._retrying = True

    def ended(self, bye: Bye | None = None) -> None:
        """Plan the next attempt after the connection ended, unless one is already planned after a failure."""
        planned = self._due if self._retrying else 0.0
        if bye or not self._retrying:
            self._due = max(planned, self._clock() + self._pause(0, bye))
        self._retrying = True

    def _pause(self, status: int, bye: Bye | None) -> float:
        self._end_series()
        limit = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self._failures += 1
        pause = self._uniform(0, limit)
        if bye:
            pause = max(pause, bye.after * self._uniform(1, 1 + JITTER))
        elif status in (401, 403):
            pause = REFUSED_WAIT * self._uniform(1 - JITTER, 1 + JITTER)
        return pause

    def _end_series(self) -> None:
        if self._online_since is not None and self._clock() - self._online_since >= STABLE:
            self._failures = 0
        self._online_since = None


def parse_number(value: object) -> float:
    """Return a JSON number, or -1 if the value is something else, negative or too large to be useful."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15:
        return float(value)
    return -1.0


def parse_bye(message: dict[str, Any]) -> Bye:
    """Return a `bye` message with values that are safe to use."""
    after = parse_number(message.get("after"))
    return Bye(printable(str(message.get("why"))), min(after, MAX_BYE_WAIT) if after >= 0 else REFUSED_WAIT)


def parse_lifetime(until: object, date: str) -> float:
    """Return the seconds from the server's Date header to `until` (Unix milliseconds), or the maximum if unknown.

    The device's own clock is not used, because it can be wrong.
    """
    try:
        connected = calendar.timegm(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
    except ValueError:
        return LIFETIME
    lifetime = parse_number(until) / 1000 - connected
    return lifetime if 0 < lifetime <= LIFETIME else LIFETIME


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Part(NamedTuple):
    """Content of one frame of a stream."""

    data: bytes
    fin: bool
    """True if the direction ends after this frame."""


def parse_count(value: object) -> int:
    """Return a JSON integer from 0, or -1 if the value is something else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else -1


def parse_part(message: dict[str, Any]) -> Part | None:
    """Return the content of an `open` or `data` message, or None if it is invalid."""
    text, fin = message.get("d", ""), message.get("fin", False)
    if not isinstance(text, str) or not isinstance(fin, bool):
        return None
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None
    return Part(data, fin) if len(data) <= MAX_DATA else None


class Stream:
    """One end of a stream: numbers, acknowledges and repeats its frames. It does no input or output.

    `receive` takes the peer's messages, and `outgoing` returns the messages for the peer. `peek` and `consume` return
    what arrived; `write` and `finish` send.
    """

    def __init__(
        self,
        s: str,
        opens: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[], int] = lambda: MAX_HELD,
    ) -> None:
        self.s = s
        self.service = opens
        """Name of the service; None until the opener's first frame arrives."""
        self.acks = opens is not None
        """True if both ends repeat their frames until they are acknowledged."""
        self.opens = opens is not None
        """True at the client's end, which opens the stream."""
        self.why: str | None = None
        """Reason, if either end reset the stream."""
        self.ended = False
        """True once there is nothing left to send or to repeat."""
        self.listeners: list[Callable[[], None]] = []
        """Called when one of the methods has a new result."""
        self._clock = clock
        self._free = free
        self._outgoing: dict[int, Part] = {}
        """Frames that the peer has not acknowledged."""
        self._acked = self._sent = self._written = 0
        """Numbers of the first outgoing frame that is not acknowledged, not sent, not written."""
        self._again: set[int] = set()
        self._limit = WINDOW
        """Number before which frames may be sent."""
        self._finished = False
        self._incoming: dict[int, Part] = {}
        self._consumed = self._arrived = 0
        """Numbers of the first incoming frame that is not consumed, that has not arrived."""
        self._peer_finished = False
        self._told = (0, WINDOW)
        """`_arrived` and limit of the last acknowledgement."""
        self._owes = ""
        """Type of a message that answers the peer's `need`, or is one."""
        self._resets = False
        self._attempts = 0
        self._probing = False
        self._waiting_since = clock()
        self._hold_until = -FOREVER
        self._ack_at = FOREVER
        self._check_at = clock() + SILENCE
        self._end_at = FOREVER if self.opens else clock() + EARLY
        if self.opens:
            self._append(Part(b"", False))

    @property
    def held(self) -> int:
        """Number of bytes in memory."""
        return sum(len(part.data) for parts in (self._outgoing, self._incoming) for part in parts.values())

    @property
    def early(self) -> int:
        """Number of frames that wait for the opener's first one."""
        return 0 if self.service is not None else len(self._incoming)

    @property
    def settled(self) -> bool:
        """True if the peer has acknowledged everything, or the stream has ended."""
        return self.ended or self.why is not None or (self._finished and self._acked == self._written)

    # sending

    def room(self) -> int:
        """Return the number of bytes that can be written now."""
        if self.why is not None or self.ended or self._finished:
            return 0
        short = self._free() < MAX_DATA
        last, most = self._unsent(), SMALL_DATA if short else MAX_DATA
        if last and len(last.data) < most:
            return most - len(last.data)
        # Without `acks`, the peer acknowledges every fourth frame: fewer would have to wait for its `need`.
        limit = self._acked + ACK_EVERY if short else self._limit
        return most if self._written < min(limit, self._limit) else 0

    def write(self, data: bytes) -> None:
        """Send bytes, of which there must be no more than `room`."""
        last = self._unsent()
        if last and len(last.data) + len(data) <= MAX_DATA:
            self._outgoing[self._written - 1] = Part(last.data + data, False)
        else:
            self._append(Part(data, False))
            # What follows shortly shares the frame: mostly the end of an HTTP response.
            if not self.acks:
                self._hold_until = self._clock() + HOLD
        self.notify()

    def finish(self) -> None:
        """End the outgoing direction."""
        if self.why is not None or self.ended or self._finished:
            return
        last = self._unsent()
        if last:
            self._outgoing[self._written - 1] = Part(last.data, True)
        else:
            self._append(Part(b"", True))
        self._finished = True
        self.notify()

    def reset(self, why: str) -> None:
        """End both directions, and send the reason to the peer."""
        if self.why is None and not self.ended:
            self._break(why)
            self._resets = True
            self.notify()

    def retry(self) -> None:
        """Ask for what may have been lost with a connection. The other end does the same."""
        if self.acks and self._check_at < FOREVER:
            self._owes = "need"

    def hurry(self) -> None:
        """End now, if the answer was sent and the peer did not ask for any of it again for some time."""
        now = self._clock()
        answered = self.service is not None and not self.acks and self._end_at < FOREVER
        if answered and now >= max(self._end_at - LINGER, self._check_at - SILENCE) + SHORT_LINGER:
            self._end()

    def outgoing(self) -> dict[str, Any] | None:
        """Return the next message for the peer, or None."""
        now = self._clock()
        if self._resets:
            self._resets = False
            self.ended = True
            return {"type": "reset", "s": self.s, "why": self.why}
        if self.why is not None or self.ended:
            return None
        number = self._next_frame(now)
        shared = self.acks and (number is not None or self._owes == "need")
        if now >= self._ack_at and not shared:
            return self._tell({"type": "ack", "s": self.s, "n": self._arrived}, always=True)
        owes, self._owes = self._owes, ""
        if owes == "need":
            return self._tell({"type": "need", "s": self.s, "from": self._arrived, "not": self._beyond_gap()})
        if number is not None:
            return self._frame(number, now)
        return {"type": "still", "s": self.s} if owes else None

    def _unsent(self) -> Part | None:
        """Return the last frame, if it can still be extended."""
        return self._outgoing[self._written - 1] if self._sent < self._written else None

    def _append(self, part: Part) -> None:
        self._outgoing[self._written] = part
        self._written += 1

    def _next_frame(self, now: float) -> int | None:
        if self._again:
            return min(self._again)
        if self._sent >= min(self._written, self._limit):
            return None
        part = self._outgoing[self._sent]
        held_back = self._sent == self._written - 1 and now < self._hold_until
        return None if held_back and not part.fin and len(part.data) < MAX_DATA else self._sent

    def _frame(self, number: int, now: float) -> dict[str, Any]:
        part = self._outgoing[number]
        message: dict[str, Any] = {"type": "data", "s": self.s, "n": number}
        if number == 0 and self.opens:
            message = {"type": "open", "s": self.s, "svc": self.service, "n": 0, "acks": True}
        if part.data:
            message["d"] = base64.b64encode(part.data).decode()
        if part.fin:
            message["fin"] = True
            if not self.acks and number == self._sent:
                self._end_at = now + LINGER
        self._again.discard(number)
        if self.acks and self._acked == self._sent:
            self._waiting_since = now
        self._sent = max(self._sent, number + 1)
        if self.acks:
            self._check_at = now + self._delay()
            if self._news() or now >= self._ack_at:
                message["ack"] = self._arrived
                self._tell(message)
        return message

    def _tell(self, message: dict[str, Any], *, always: bool = False) -> dict[str, Any]:
        """Add the window to a message that acknowledges what arrived. Without a window, it is WINDOW."""
        window = self._consumed + WINDOW - self._arrived
        if always or window != WINDOW:
            message["window"] = window
        self._told = (self._arrived, self._consumed + WINDOW)
        self._ack_at = FOREVER
        return message

    # receiving

    def receive(self, message: dict[str, Any]) -> None:
        """Take a message of the peer. An invalid one has no effect."""
        if self.why is not None or self.ended:
            return
        before = self._acked, self._limit
        kind = message.get("type")
        if kind in ("open", "data"):
            self._on_frame(message)
        elif kind == "ack":
            self._acknowledge(message.get("n"), message.get("window", WINDOW))
        elif kind == "need":
            self._on_need(message)
        elif kind == "reset":
            self._break(printable(str(message.get("why"))))
            self.ended = True
        if not self.ended:
            self._hear(progress=before != (self._acked, self._limit))
        self.notify()

    def peek(self) -> Part | None:
        """Return the first part that arrived and was not consumed, or None."""
        return self._incoming[self._consumed] if self._consumed < self._arrived else None

    def consume(self) -> None:
        """Drop the part that `peek` returns, so that the peer may send another."""
        if self._consumed < self._arrived:
            self._drop_first()
            self._after_arrival()
            self.notify()

    def _on_frame(self, message: dict[str, Any]) -> None:
        number, part = parse_count(message.get("n")), parse_part(message)
        opening = message["type"] == "open"
        if part is None or number < 0 or opening != (number == 0 and not self.opens):
            return
        if opening and not isinstance(message.get("svc"), str):
            return
        if "ack" in message:
            self._acknowledge(message["ack"], message.get("window", WINDOW))
        if number < self._arrived or number in self._incoming:
            if self.acks:
                self._ack_at = self._clock()
            return
        beyond = number >= self._consumed + WINDOW or self._peer_finished
        needed = number == self._arrived == self._consumed
        if beyond or (not needed and self._free() < len(part.data)):
            return  # as if it had been lost
        self._incoming[number] = part
        if opening:
            self.service = message["svc"]
            self.acks = message.get("acks") is True
            self._end_at = FOREVER
        while not self._peer_finished and self._arrived in self._incoming:
            self._peer_finished = self._incoming[self._arrived].fin
            self._arrived += 1
        self._after_arrival()

    def _drop_first(self) -> None:
        del self._incoming[self._consumed]
        self._consumed += 1

    def _after_arrival(self) -> None:
        while (part := self.peek()) and not part.data and not part.fin:
            self._drop_first()
        self._plan_ack()
        self._complete()

    def _plan_ack(self) -> None:
        if not self.acks:
            if self._consumed >= self._told[1] - WINDOW + ACK_EVERY:
                self._ack_at = self._clock()
        elif self._news():
            delay = 0 if self._news() >= ACK_EVERY else ACK_DELAY
            self._ack_at = min(self._ack_at, self._clock() + delay)

    def _news(self) -> int:
        """Return the number of frames by which the next acknowledgement differs from the last."""
        arrived, limit = self._told
        return max(self._arrived - arrived, self._consumed + WINDOW - limit)

    def _acknowledge(self, before: object, window: object) -> None:
        number, more = parse_count(before), parse_count(window)
        if number > self._sent or number < 0 or more < 0:
            return
        for acked in range(self._acked, number):
            del self._outgoing[acked]
            self._again.discard(acked)
        self._acked = max(self._acked, number)
        self._limit = max(self._limit, number + min(more, MAX_WINDOW))

    def _on_need(self, message: dict[str, Any]) -> None:
        first, arrived = parse_count(message.get("from")), message.get("not", [])
        if not 0 <= first <= self._sent or not isinstance(arrived, list):
            return
        self._acknowledge(first, message.get("window", WINDOW))
        missing = [number for number in range(self._acked, self._sent) if number not in arrived[:MAX_WINDOW]]
        self._again.update(missing)
        if missing:
            return
        if self._arrived == 0 or self._beyond_gap():
            self._owes = "need"
        elif self._peer_finished:
            self._owes = self._owes or "still"
        else:
            self._ack_at = self._clock()
            if not self.acks and self._arrived < self._consumed + WINDOW:
                # The last frame that the peer sent may be lost: without `acks`, it does not notice that itself.
                self._owes = "need"

    def _beyond_gap(self) -> list[int]:
        return sorted(number for number in self._incoming if number >= self._arrived)

    def notify(self) -> None:
        """Call the listeners."""
        for listener in self.listeners:
            listener()

    def _break(self, why: str) -> None:
        self.why = why
        self._outgoing.clear()
        self._incoming.clear()
        self._again.clear()
        self._consumed = self._arrived

    # time

    def due(self) -> float:
        """Return the time at which `tick` has something to do, or `outgoing` a message, if nothing else happens."""
        if self.why is not None or self.ended:
            return FOREVER
        held_back = self._hold_until if self._sent < min(self._written, self._limit) else FOREVER
        return min(self._ack_at, self._end_at, self._check_at, held_back)

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock()
        if self.why is not None or self.ended:
            return
        if now >= self._end_at:
            self._end()
        elif now >= self._check_at:
            self._check(now)

    def _end(self) -> None:
        self._outgoing.clear()
        self._incoming.clear()
        self.ended = True
        self.notify()

    def _check(self, now: float) -> None:
        if not (self._waiting() or self._probing):
            self._probing = True
            self._waiting_since = now
        if not self.acks or now - self._waiting_since >= LOST:
            self.reset("lost")
            return
        if self._acked < self._sent:
            self._again.add(self._acked)
        else:
            self._owes = "need"
        self._check_at = now + self._delay()
        self._attempts += 1

    def _waiting(self) -> bool:
        """Return True if the peer owes an acknowledgement, or a larger window."""
        return self._acked < self._sent or (
            self._sent >= self._limit and not (self._finished and self._sent == self._written)
        )

    def _delay(self) -> float:
        return RETRIES[min(self._attempts, len(RETRIES) - 1)]

    def _hear(self, *, progress: bool) -> None:
        """Plan the next attempt to hear from the peer, of which a message arrived now."""
        now = self._clock()
        self._probing = False
        waiting = self._waiting()
        if progress or not waiting:
            self._attempts = 0
        if progress or self._acked == self._sent:
            self._waiting_since = now
            self._check_at = now + (self._delay() if self.acks and waiting else SILENCE)
        if not self.acks:
            self._check_at = now + SILENCE
        self._complete()

    def _complete(self) -> None:
        """End the stream if the peer needs nothing more, or later if it may still need the last acknowledgement."""
        if not self._finished or self._acked < self._written:
            return
        if not self.acks:
            self._end()
        elif self._peer_finished and not self._incoming and self._end_at == FOREVER:
            self._check_at = FOREVER
            self._end_at = self._clock() + LINGER


class Streams:
    """The streams of one end, which share its connections."""

    def __init__(
        self,
        serve: Callable[[Stream], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `serve`, the coroutine function for each stream that the peer opens, the peer can open none."""
        self._serve = serve
        self._clock = clock
        self._streams: dict[str, Stream] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, str] = {}
        """Reasons of the last streams, so that a late message does not open one again."""
        self._answers: dict[str, dict[str, Any]] = {}
        """Messages about streams that are not open, by stream."""
        self._short = False
        self._sleeper: asyncio.Future[None] | None = None

    def open(self, s: str, service: str) -> Stream:
        """Open a stream to a service of the peer."""
        stream = self._add(Stream(s, service, self._clock, self._free))
        self._wake()
        return stream

    def receive(self, message: dict[str, Any]) -> None:
        """Take a message of the peer. An invalid one has no effect."""
        s = message.get("s")
        if not isinstance(s, str) or not 0 < len(s) <= MAX_STREAM_ID:
            log.debug("ignored a message without a valid stream")
            return
        stream = self._streams.get(s) or self._unknown(s, message)
        if stream is None:
            return
        new = stream.service is None
        stream.receive(message)
        if new and stream.service is not None and self._serve:
            self._tasks[s] = asyncio.ensure_future(self._attend(stream, self._serve))
            self._tasks[s].add_done_callback(lambda _: self._tasks.pop(s))
        if self._short or len(self._streams) > MAX_ENDED:
            self._short = False
            for other in self._streams.values():
                other.hurry()
                other.notify()

    async def run(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> NoReturn:
        """Send the messages of all streams in turn, until cancelled. Then all streams end."""
        try:
            while True:
                message = self.outgoing()
                if message is None:
                    await self._sleep()
                else:
                    await send(message)
        finally:
            for task in list(self._tasks.values()):
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def outgoing(self) -> dict[str, Any] | None:
        """Return the next message for the peer, or None."""
        if self._answers:
            return self._answers.pop(next(iter(self._answers)))
        now = self._clock()
        for s, stream in list(self._streams.items()):
            if now >= stream.due():
                stream.tick()
            message = stream.outgoing()
            if stream.ended:
                self._forget(stream)
            if message:
                if not stream.ended:
                    # The other streams' turn.
                    self._streams[s] = self._streams.pop(s)
                return message
        return None

    def due(self) -> float:
        """Return the time at which `outgoing` must be called if nothing else happens."""
        return min((stream.due() for stream in self._streams.values()), default=FOREVER)

    def retry(self) -> None:
        """Ask for what may have been lost with a connection."""
        for stream in self._streams.values():
            stream.retry()
        self._wake()

    def end(self) -> None:
        """End all streams, of which the peer has no use any more."""
        for stream in self._streams.values():
            stream.receive({"type": "reset", "why": "ended"})

    def _add(self, stream: Stream) -> Stream:
        self._streams[stream.s] = stream
        stream.listeners.append(self._wake)
        return stream

    def _unknown(self, s: str, message: dict[str, Any]) -> Stream | None:
        """Return a new stream for a message of a stream that is not open, or answer the message."""
        kind = message.get("type")
        if kind not in ("open", "data", "need"):
            return None
        if s in self._ended:
            self._refuse(s, self._ended[s])
        elif self._serve is None:
            self._refuse(s, "unknown")
        elif kind == "need":
            self._answer({"type": "need", "s": s, "from": 0, "not": []})
        elif kind == "open" and len(self._tasks) >= MAX_STREAMS:
            self._remember(s, "busy")
            self._refuse(s, "busy")
        elif kind == "open" or self._early() < MAX_EARLY:
            return self._add(Stream(s, None, self._clock, self._free))
        return None

    def _early(self) -> int:
        return sum(max(1, stream.early) for stream in self._streams.values() if stream.service is None)

    def _refuse(self, s: str, why: str) -> None:
        self._answer({"type": "reset", "s": s, "why": why})

    def _answer(self, message: dict[str, Any]) -> None:
        if len(self._answers) < MAX_STREAMS:
            self._answers[message["s"]] = message
            self._wake()

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.s]
        if stream.service is not None:
            self._remember(stream.s, stream.why or "unknown")

    def _remember(self, s: str, why: str) -> None:
        self._ended[s] = why
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _free(self) -> int:
        """Return the number of bytes that streams may still hold."""
        free = MAX_HELD - sum(stream.held for stream in self._streams.values())
        self._short = self._short or free < MAX_DATA
        return free

    async def _attend(self, stream: Stream, serve: Callable[[Stream], Awaitable[None]]) -> None:
        try:
            await serve(stream)
        except Exception:
            log.exception("a stream failed")
            stream.reset("closed")

    def _wake(self) -> None:
        if self._sleeper and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def _sleep(self) -> None:
        loop = asyncio.get_event_loop()
        self._sleeper = loop.create_future()
        due = self.due()
        timer = loop.call_later(due - self._clock(), self._wake) if due < FOREVER else None
        try:
            await self._sleeper
        finally:
            if timer:
                timer.cancel()


class Carrier:
    """Carries bytes between a stream and a connection."""

    def __init__(self, stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = stream
        self._reader = reader
        self._writer = writer
        self._changed = asyncio.Event()
        self._finished = False

    async def run(self) -> None:
        """Carry until both directions end, or raise OSError if the connection breaks. Ends if the stream is reset."""
        # With a limit of 0, drain() returns once the connection has taken everything.
        self._writer.transport.set_write_buffer_limits(0)
        self._stream.listeners.append(self._changed.set)
        ended = asyncio.ensure_future(self._until(lambda: self._stream.why is not None or self._stream.ended))
        tasks = [asyncio.ensure_future(work) for work in (self._to_connection(), self._from_connection())]
        both: asyncio.Future[Any] = asyncio.gather(*tasks)
        try:
            await asyncio.wait({both, ended}, return_when=asyncio.FIRST_COMPLETED)
            if both.done():
                both.result()
        finally:
            self._stream.listeners.remove(self._changed.set)
            for task in (*tasks, ended):
                task.cancel()
            await asyncio.gather(*tasks, ended, both, return_exceptions=True)

    async def _until(self, ready: Callable[[], Any]) -> None:
        while not ready():
            self._changed.clear()
            await self._changed.wait()

    async def _to_connection(self) -> None:
        fin = False
        while not fin:
            await self._until(self._stream.peek)
            data, fin = self._stream.peek() or Part(b"", False)
            try:
                self._writer.write(data)
                await self._writer.drain()
                # To many HTTP services, the end of the data means that the client has left. The request has an end.
                if fin and self._stream.acks and self._writer.can_write_eof():
                    self._writer.write_eof()
            except OSError:
                # After the end of its data, a service may refuse the rest of a request. A client has left.
                if self._stream.opens or not self._finished:
                    raise
            self._stream.consume()

    async def _from_connection(self) -> None:
        while True:
            await self._until(self._stream.room)
            data = await self._reader.read(self._stream.room())
            if not data:
                self._finished = True
                self._stream.finish()
                return
            self._stream.write(data)


async def carry(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes between a stream and a connection until both directions end, and close the connection.

    If one of them is reset, so is the other.
    """
    try:
        await Carrier(stream, reader, writer).run()
    except OSError as error:
        log.debug("stream %s: %s", printable(stream.s), error)
        stream.reset("closed")
    finally:
        if stream.why is not None:
            reset_connection(writer)
        writer.close()


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that its other end sees an error, not the end of the data."""
    connection = writer.get_extra_info("socket")
    if connection and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# ── the agent ────────────────────────────────────────────────────────────────────────────────────────────────────────


def parse_message(text: str) -> dict[str, Any] | None:
    """Return a JSON object, or None if the text is something else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


class Link:
    """One connection of the agent, or of another client."""

    def __init__(self, on_message: Handler, socket: WebSocket) -> None:
        self._on_message = on_message
        self._socket = socket
        self._code = NORMAL
        self.superseded = False
        """True once the agent tried to replace the connection, so that the server may end it."""
        self.heartbeat = HEARTBEAT
        self.lifetime = LIFETIME
        self.welcomed: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        self.task = asyncio.ensure_future(self._run())
        """Ends with the connection, and returns the reason."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the server's response to the upgrade, with names in lower case."""
        return self._socket.headers

    @property
    def local_ip(self) -> str:
        """The device's address in its own network."""
        return self._socket.local_ip

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message. Raises Offline, or ValueError if it is too large."""
        await self._socket.send(json.dumps(message, separators=(",", ":")))

    async def close(self, code: int) -> None:
        """Close the connection with a code."""
        self._code = code
        self.task.cancel()
        await asyncio.wait({self.task})
        # A task that is cancelled before its first step does not close the socket.
        self._socket.abort()

    async def _run(self) -> Offline:
        tasks = [asyncio.ensure_future(work) for work in (self._receive(), self._probe(), self._beat())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = next(task for task in tasks if task.done()).exception()
            if not isinstance(ended, Offline):
                raise ended or RuntimeError("a task of the connection returned")
            self._code = ended.code
            return ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._socket.close(self._code)

    async def _receive(self) -> NoReturn:
        while True:
            text = await self._socket.receive()
            message = parse_message(text)
            if message is None:
                log.debug("ignored a message that is not a JSON object")
            else:
                await self._on_message(self, message)

    async def _probe(self) -> NoReturn:
        """Find a dead connection with ping frames, which also keep address translation (NAT) alive."""
        while True:
            await asyncio.sleep(PING_INTERVAL - PING_TIMEOUT)
            asked = time.monotonic()
            self._socket.ping()
            await asyncio.sleep(PING_TIMEOUT)
            if self._socket.heard < asked:
                raise Offline(f"the connection is dead (no answer to a ping for {PING_TIMEOUT:g} s)")

    async def _beat(self) -> NoReturn:
        """Keep the server from ending an idle connection, for which ping frames may not count."""
        await asyncio.shield(self.welcomed)
        while True:
            await asyncio.sleep(self.heartbeat)
            await self.send({"type": "ping"})


Handler = Callable[[Link, Dict[str, Any]], Awaitable[None]]
Obey = Callable[[Any], Awaitable[None]]


class Agent:
    """Keeps a device online. `asyncio.run(Agent(url, credential_file).run())` runs until it is cancelled."""

    def __init__(
        self, url: str, credential_file: str, services: Sequence[Service] = (), ca_file: str | None = None
    ) -> None:
        """Check the arguments. Raises ValueError, or OSError if the file of CA certificates cannot be used."""
        self.server = parse_url(url)
        self.credential_file = credential_file
        self.services = {service.name: service for service in services}
        if len(self.services) < len(services):
            raise ValueError("two services have the same name")
        if len(services) > MAX_SERVICES:
            raise ValueError(f"a device can have at most {MAX_SERVICES} services")
        self.handlers: dict[str, Handler] = {
            "welcome": self._welcome,
            "pong": self._pong,
            "bye": self._bye,
            "command": self._command,
            "refused": self._refused,
            **dict.fromkeys(STREAM_MESSAGES, self._stream),
        }
        """Coroutine functions by type of message. They must return soon: no other message is read until then."""
        self.obey: Obey | None = None
        """Carries out a command: values by property, or the text of another kind. Raises ValueError to refuse it."""
        self._results: dict[str, dict[str, Any]] = {}
        self._reports = 0
        self._tls = self._trust(ca_file) if self.server.tls else None
        self._links: list[Link] = []
        self._streams = Streams(self._serve)
        self._online: asyncio.Event

    @staticmethod
    def _trust(ca_file: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    async def run(self) -> NoReturn:
        """Stay online until cancelled, and then close the connection."""
        schedule = Schedule()
        link: Link | None = None
        self._online = asyncio.Event()  # not earlier: before Python 3.10, it belongs to the loop that is current then
        streams = asyncio.ensure_future(self._streams.run(self._send))
        try:
            while True:
                link = await self._attempt(schedule, link)
                if link:
                    await asyncio.wait({link.task}, timeout=schedule.wait())
                    if link.task.done():
                        self._lost(schedule, link)
                        link = None
                if link is None:
                    await asyncio.sleep(schedule.wait())
        finally:
            streams.cancel()
            await asyncio.wait({streams})
            for opened in self._links:
                await opened.close(GOING_AWAY)

    async def report(self, **values: Any) -> bool:
        """Report values of properties. Return False while the device is offline."""
        link = self._newest()
        if not link:
            return False
        self._reports += 1
        try:
            await link.send({"type": "report", "n": self._reports, "values": values})
        except Offline:
            return False
        return True

    def _newest(self) -> Link | None:
        """Return the last connection on which the server welcomed the device."""
        welcomed = [link for link in self._links if link.welcomed.done() and not link.task.done()]
        return welcomed[-1] if welcomed else None

    async def _send(self, message: dict[str, Any]) -> None:
        """Send a message of a stream, over the next connection if this one fails."""
        while True:
            link = self._newest()
            if link is None:
                self._online.clear()
                await self._online.wait()
                continue
            try:
                await link.send(message)
                return
            except Offline:
                await asyncio.wait({link.task})

    async def _attempt(self, schedule: Schedule, old: Link | None) -> Link | None:
        """Return a new connection after closing the old one, or the old one if there is no new one."""
        if old:
            old.superseded = True
        try:
            link = await within(CONNECT_TIMEOUT, self._connect())
        except Offline as failure:
            schedule.failed(failure.status, failure.bye)
            if old is None and (failure.bye or failure.status in (401, 403)):
                self._streams.end()
            doing = "cannot renew the connection, but still online" if old else "offline"
            log.warning("%s: %s; next attempt in %.1f s", doing, failure, schedule.wait())
            return old
        schedule.online(link.lifetime)
        if old:
            await old.close(NORMAL)
            self._links.remove(old)
            log.info("renewed the connection to %s", self.server.url)
        else:
            names = ", ".join(self.services) or "none"
            log.info("online: connected to %s; services: %s", self.server.url, names)
            self._streams.retry()
        return link

    async def _connect(self) -> Link:
        """Open a connection, and return it once the server has welcomed the device."""
        credential = read_credential(self.credential_file)
        link = Link(self.on_message, await WebSocket.open(self.server, credential, self._tls))
        self._links.append(link)
        try:
            await link.send({"type": "hello", "v": 1, "services": list(self.services), "internal_ip": link.local_ip})
            either: set[asyncio.Future[Any]] = {link.task, link.welcomed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not link.welcomed.done():
                raise link.task.result()
        except BaseException:
            await link.close(NORMAL)
            self._links.remove(link)
            raise
        return link

    def _lost(self, schedule: Schedule, link: Link) -> None:
        self._links.remove(link)
        reason = link.task.result()
        ours = link.superseded and reason.bye is not None and reason.bye.why == "replaced"
        schedule.ended(None if ours else reason.bye)
        if reason.bye and not ours:
            # Nobody may use the services any more. Other lost connections are opened again, and the streams go on.
            self._streams.end()
        log.warning("offline: %s; next attempt in %.1f s", reason, schedule.wait())

    async def on_message(self, link: Link, message: dict[str, Any]) -> None:
        """Pass a message to the handler of its type."""
        kind = message.get("type")
        handler = self.handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            await self._unknown(link, message)
            return
        try:
            await handler(link, message)
        except Offline:
            raise
        except Exception:
            # One message must not take the device offline, and again after each restart.
            log.exception("the handler of %s failed", kind)

    async def _unknown(self, link: Link, message: dict[str, Any]) -> None:
        if "type" in message or not isinstance(message.get("message"), str):
            log.debug("ignored a message of type %s", printable(str(message.get("type"))))
            return
        # API Gateway's own text, such as "Internal server error" when a function failed.
        text = f"the server reported: {printable(message['message'])}"
        if not link.welcomed.done():
            raise Offline(text)
        log.warning("%s", text)

    async def _welcome(self, link: Link, message: dict[str, Any]) -> None:
        heartbeat = parse_number(message.get("heartbeat"))
        link.heartbeat = max(1.0, heartbeat) if heartbeat > 0 else HEARTBEAT
        link.lifetime = parse_lifetime(message.get("until"), link.headers.get("date", ""))
        if not link.welcomed.done():
            link.welcomed.set_result(None)
            self._online.set()

    async def _stream(self, link: Link, message: dict[str, Any]) -> None:
        self._streams.receive(message)

    async def _serve(self, stream: Stream) -> None:
        """Connect a stream to its service."""
        service = self.services.get(stream.service or "")
        if service is None:
            stream.reset("unknown-service")
            return
        opening = asyncio.open_connection(service.host, service.port, limit=READ_LIMIT, happy_eyeballs_delay=0.25)
        try:
            reader, writer = await within(SERVICE_TIMEOUT, opening)
        except (OSError, Offline) as error:
            log.warning("cannot connect to the service %s: %s", service.name, error)
            # For a name with several addresses, the error is not a ConnectionRefusedError.
            refused = isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error)
            stream.reset("refused" if refused else "unreachable")
            return
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        await carry(stream, reader, writer)

    async def _pong(self, link: Link, message: dict[str, Any]) -> None:
        log.debug("pong")

    async def _command(self, link: Link, message: dict[str, Any]) -> None:
        identity = message.get("id")
        if not isinstance(identity, str):
            return
        # The server may send a command twice.
        if identity not in self._results:
            self._results[identity] = {"type": "result", "id": identity, **await self._outcome(message)}
            if len(self._results) > MAX_RESULTS:
                del self._results[next(iter(self._results))]
        await link.send(self._results[identity])

    async def _outcome(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.obey is None:
            return {"ok": False, "why": "this device takes no commands"}
        try:
            await self.obey(message.get("values", message.get("data")))
        except ValueError as error:
            return {"ok": False, "why": str(error)[:256]}
        except Exception:
            log.exception("a command failed")
            return {"ok": False, "why": "the command failed"}
        return {"ok": True}

    async def _refused(self, link: Link, message: dict[str, Any]) -> None:
        log.warning("the server refused a message: %s", printable(str(message.get("why"))))

    async def _bye(self, link: Link, message: dict[str, Any]) -> None:
        bye = parse_bye(message)
        reasons = {
            "replaced": "another connection with this credential replaced this one. Check that only one agent uses it",
            "unbound": "the device was unbound, so its credential is no longer valid",
            "banned": "the device is banned",
            "revoked": "the device's key was revoked or replaced",
            "disabled": "the device's user or account is disabled",
            "invalid": "the server did not accept this agent's messages. Check for a newer agent",
        }
        raise Offline(reasons.get(bye.why, f"the server ended the connection ({bye.why})"), bye=bye)


# ── command line ─────────────────────────────────────────────────────────────────────────────────────────────────────


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="bindery_agent.py",
        description="Keep this device online at a Bindery server.",
        epilog="Exit codes: 0 ended by SIGTERM or SIGINT, 1 unexpected error, 2 invalid arguments, "
        f"{EXIT_CREDENTIAL} the credential file cannot be used at the start.",
    )
    made.add_argument("--url", required=True, help="URL of the device link, such as wss://link.example.com/link")
    made.add_argument("--credential-file", required=True, metavar="FILE", help="file that has the device's credential")
    made.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        dest="services",
        help="TCP service that the device offers, such as http=127.0.0.1:80; can be repeated",
    )
    made.add_argument("--ca-file", metavar="FILE", help="trust only the CA certificates in this PEM file")
    made.add_argument("--verbose", action="store_true", help="log debug messages too")
    made.add_argument("--version", action="version", version=f"bindery_agent {VERSION}")
    return made


def start_logging(verbose: bool) -> None:
    """Write log lines with UTC times to standard error."""
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


async def run_until_signal(agent: Agent) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(agent.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_event_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    log.info("offline: stopped by a signal")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with the arguments of a command line, and return the exit code."""
    options = parser().parse_args(arguments)
    start_logging(options.verbose)
    try:
        services = [parse_service(text) for text in options.services]
        agent = Agent(options.url, options.credential_file, services, options.ca_file)
    except ssl.SSLError:
        parser().error(f"{options.ca_file} has no CA certificates in PEM format")
    except OSError as error:
        parser().error(f"cannot read {options.ca_file}: {error.strerror}")
    except ValueError as error:
        parser().error(str(error))
    try:
        read_credential(agent.credential_file)
    except CredentialError as error:
        log.error("%s", error)
        return EXIT_CREDENTIAL
    asyncio.run(run_until_signal(agent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
