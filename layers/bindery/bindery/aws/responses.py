"""HTTP/1.1 responses, read from a socket."""

import re
import socket
import time
import zlib
from typing import NamedTuple

_HEAD_LIMIT = 64 * 1024
_PART = 64 * 1024
_START = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: .*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;.*)?\r\n")
_LENGTH = re.compile(r"[0-9]+")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_NO_BODY = frozenset({204, 304})


class Response(NamedTuple):
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Reader:
    """Reads one response, until a deadline of `time.monotonic`."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline
        self._received = bytearray()
        self.started = False  # received at least a byte
        self.reusable = False  # the connection may be used for another request

    def read(self) -> Response:
        """Return the response. Raises `OSError` if it is not complete, and `ValueError` if it is not valid."""
        version, status, headers = self._head()
        while status < 200:
            # An interim response, such as 100 Continue: the response follows.
            version, status, headers = self._head()
        body, framed = self._body(status, headers)
        if "x-amz-crc32" in headers and headers["x-amz-crc32"] != str(zlib.crc32(body)):
            raise ValueError("the response was damaged")
        closes = version == "0" or "close" in headers.get("connection", "").lower()
        self.reusable = framed and not closes and not self._received
        return Response(status, headers, body)

    def _head(self) -> tuple[str, int, dict[str, str]]:
        end = self._find(b"\r\n\r\n")
        start, *lines = self._cut(end + 4)[:-4].decode("latin-1").split("\r\n")
        found = _START.fullmatch(start)
        if found is None:
            raise ValueError("not an HTTP response")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            if name in headers and name in _FRAMING:
                raise ValueError("the response has two lengths")
            headers[name] = value.strip()
        return found[1], int(found[2]), headers

    def _body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """Return the body, and True if it does not end with the connection."""
        if status in _NO_BODY:
            # Some servers send one nevertheless.
            return b"", False
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise ValueError("the end of the response is not clear")
            return self._chunks(), True
        if length is not None:
            if _LENGTH.fullmatch(length) is None:
                raise ValueError("the length of the response is not a number")
            return self._cut(int(length)), True
        while self._receive():
            pass
        return bytes(self._received), False

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            found = _CHUNK.fullmatch(self._cut(self._find(b"\r\n") + 2))
            if found is None:
                raise ValueError("not the size of a chunk")
            size = int(found[1], 16)
            if size == 0:
                # Trailers, if any, end with an empty line.
                while self._cut(self._find(b"\r\n") + 2) != b"\r\n":
                    pass
                return b"".join(parts)
            parts.append(self._cut(size))
            if self._cut(2) != b"\r\n":
                raise ValueError("a chunk is longer than its size")

    def _cut(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive_more()
        cut = bytes(self._received[:size])
        del self._received[:size]
        return cut

    def _find(self, mark: bytes) -> int:
        while (found := self._received.find(mark)) < 0:
            if len(self._received) > _HEAD_LIMIT:
                raise ValueError("not an HTTP response")
            self._receive_more()
        return found

    def _receive_more(self) -> None:
        if not self._receive():
            raise ConnectionResetError("closed during a response")

    def _receive(self) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no complete response in time")
        self._socket.settimeout(left)
        received = self._socket.recv(_PART)
        self._received += received
        self.started = self.started or bool(received)
        return bool(received)
