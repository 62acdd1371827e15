"""A server on the loopback interface that answers with any bytes, valid or not."""

import json
import socket
import ssl
import struct
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType
from typing import Any, NamedTuple


class Request(NamedTuple):
    connection: int  # the number of its connection, from 1
    head: bytes  # with its empty line
    body: bytes

    def header(self, name: str) -> str | None:
        found = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:]]
        return next((value.strip() for key, _, value in found if key.lower() == name), None)

    def members(self) -> dict[str, Any]:
        members: dict[str, Any] = json.loads(self.body)
        return members


Reply = Callable[[socket.socket, Request], None]
"""Answers a request by what it does to the connection."""


def response(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    """Return a response with the headers that DynamoDB sends, and `lines`."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", f"x-amz-crc32: {zlib.crc32(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def item(request: Request) -> bytes:
    """Return the body of a response to `GetItem`: the item has only its key."""
    members = request.members()
    return json.dumps({"Item": members["Key"]} if "Key" in members else {}).encode()


def error(status: str, code: str) -> Reply:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}"}).encode()
    return says(lambda request: response(body, status))


def correct(connection: socket.socket, request: Request) -> None:
    """Reply as DynamoDB does."""
    connection.sendall(response(item(request)))


def says(*parts: bytes | Callable[[Request], bytes], close: bool = False) -> Reply:
    """Reply with bytes, or with those that functions return for the request."""

    def reply(connection: socket.socket, request: Request) -> None:
        for part in parts:
            connection.sendall(part if isinstance(part, bytes) else part(request))
        if close:
            end(connection)

    return reply


def end(connection: socket.socket, request: Request | None = None) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket, request: Request) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError


def silent(connection: socket.socket, request: Request) -> None:
    """Do not reply."""


class Server:
    """Gives the first requests these replies and the others `reply`. It ends with its context.

    `greet` gets each connection before its first request.
    """

    def __init__(
        self,
        *replies: Reply,
        reply: Reply = correct,
        tls: ssl.SSLContext | None = None,
        greet: Callable[[socket.socket, int], None] = lambda connection, number: None,
    ) -> None:
        self._first = deque(replies)
        self._reply = reply
        self._tls = tls
        self._greet = greet
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._open: list[socket.socket] = []
        self.requests: list[Request] = []

    def __enter__(self) -> "Server":
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"
        self._accepting = Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.wait()

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        with self._lock:
            return len(self._threads)

    def wait(self) -> None:
        """Wait until the clients have closed all connections."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a client has not closed its connection"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                thread = Thread(target=self._serve, args=(connection, len(self._threads) + 1))
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            self._greet(connection, number)
            with connection, connection.makefile("rb") as received:
                while head := self._head(received):
                    request = Request(number, head, b"")
                    request = request._replace(body=received.read(int(request.header("content-length") or 0)))
                    with self._lock:
                        self.requests.append(request)
                        reply = self._first.popleft() if self._first else self._reply
                    reply(connection, request)

    @staticmethod
    def _head(received: Any) -> bytes:
        lines = []
        while line := received.readline():
            lines.append(line)
            if line == b"\r\n":
                return b"".join(lines)
        return b""
