"""HTTP connections to one AWS endpoint, kept open between requests."""

import socket
import ssl
import time
import zlib
from collections import deque
from contextlib import suppress
from functools import cache
from pathlib import Path
from select import POLLIN, poll
from typing import NamedTuple
from urllib.parse import urlsplit

from bindery.aws.errors import ConnectionFailed
from bindery.core import env

CONNECT_TIMEOUT = 1.0  # seconds, for TCP and again for TLS
RESPONSE_TIMEOUT = 2.0  # seconds for the whole response
IDLE_LIMIT = 20  # seconds after which a connection is not used again

_HEAD_LIMIT = 64 * 1024
_CHUNK = 64 * 1024
_HOST_NAME_MISMATCH = 62  # X509_V_ERR_HOSTNAME_MISMATCH


class Response(NamedTuple):
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connections:
    """Connections to the host of a URL. Any number of threads may use them: each request has one of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the URL of an endpoint: {url}")
        self._secure = parts.scheme == "https"
        self._address = parts.hostname, parts.port or (443 if self._secure else 80)
        self._idle: deque[_Connection] = deque()
        self._roots = _amazon_roots()
        self.host = parts.netloc
        self.path = parts.path or "/"

    def open(self) -> None:
        """Open a connection for the next request. Raises `ConnectionFailed`."""
        self._idle.append(self._connect())

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def exchange(self, request: bytes) -> Response:
        """Send a request and return its response. Raises `ConnectionFailed`."""
        reused = True
        connection = self._take()
        if connection is None:
            reused, connection = False, self._connect()
        try:
            response = connection.exchange(request)
        except (OSError, ValueError) as error:
            raise _failure(error, stale=reused and not connection.answered) from error
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()
        return response

    def _take(self) -> "_Connection | None":
        # The last one used first, so that the others time out. Wall-clock time, which goes on while Lambda freezes the
        # process.
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.usable(time.time()):
                    return connection
                connection.close()
        return None

    def _connect(self) -> "_Connection":
        try:
            return _Connection(self._socket(self._roots))
        except ssl.SSLCertVerificationError as error:
            if error.verify_code == _HOST_NAME_MISMATCH or self._roots is None:
                raise _failure(error) from error
        except OSError as error:
            raise _failure(error) from error
        # The certificate is of an authority other than Amazon's: a private endpoint or a proxy.
        try:
            connection = _Connection(self._socket(None))
        except OSError as error:
            raise _failure(error) from error
        self._roots = None
        return connection

    def _socket(self, roots: str | None) -> socket.socket:
        plain = socket.create_connection(self._address, CONNECT_TIMEOUT)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _context(roots).wrap_socket(plain, server_hostname=self._address[0]) if self._secure else plain
        except BaseException:
            plain.close()
            raise


class _Connection:
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._poll = poll()
        self._poll.register(connected, POLLIN)
        self._used = time.time()
        self.answered = False
        self.reusable = False

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def usable(self, now: float) -> bool:
        # Anything to read between requests is the end of the connection.
        return abs(now - self._used) < IDLE_LIMIT and not self._poll.poll(0)

    def exchange(self, request: bytes) -> Response:
        self.answered = self.reusable = False
        self._socket.settimeout(RESPONSE_TIMEOUT)
        self._socket.sendall(request)
        self._deadline = time.monotonic() + RESPONSE_TIMEOUT
        self._read = bytearray()
        end = self._find(b"\r\n\r\n")
        start, *lines = bytes(self._read[:end]).decode("latin-1").split("\r\n")
        del self._read[: end + 4]
        protocol, status = start.split(" ", 2)[:2]
        if protocol not in ("HTTP/1.1", "HTTP/1.0") or not 200 <= int(status) <= 599:
            raise ValueError("not an HTTP response")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = self._body(headers)
        if "x-amz-crc32" in headers and int(headers["x-amz-crc32"]) != zlib.crc32(body):
            raise ValueError("the response was damaged")
        self._used = time.time()
        self.reusable = not self._read and protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return Response(int(status), headers, body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        if "content-length" not in headers:
            headers["connection"] = "close"
            while self._receive():
                pass
            return self._cut(len(self._read))
        return self._cut(int(headers["content-length"]))

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            end = self._find(b"\r\n")
            size = int(bytes(self._cut(end + 2)).partition(b";")[0], 16)
            if size == 0:
                # Trailers, if any, end with an empty line.
                while self._cut(self._find(b"\r\n") + 2) != b"\r\n":
                    pass
                return b"".join(parts)
            parts.append(self._cut(size))
            self._cut(2)

    def _cut(self, size: int) -> bytes:
        while len(self._read) < size:
            self._receive_more()
        cut = bytes(self._read[:size])
        del self._read[:size]
        return cut

    def _find(self, mark: bytes) -> int:
        while (found := self._read.find(mark)) < 0:
            if len(self._read) > _HEAD_LIMIT:
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
        received = self._socket.recv(_CHUNK)
        self._read += received
        self.answered = self.answered or bool(received)
        return bool(received)


def _failure(error: Exception, *, stale: bool = False) -> ConnectionFailed:
    timed_out = isinstance(error, TimeoutError)
    return ConnectionFailed(
        type(error).__name__, timed_out=timed_out, stale=stale and isinstance(error, OSError) and not timed_out
    )


def _amazon_roots() -> str | None:
    # Parsing Amazon's few root certificates takes a fraction of the time for all authorities'.
    path = Path(env.find("AWS_DATA_PATH") or "", "amazon-roots.pem")
    return str(path) if env.find("AWS_CA_BUNDLE") is None and path.is_file() else None


@cache
def _context(roots: str | None) -> ssl.SSLContext:
    # Checks certificates and host names, and requires TLS 1.2.
    return ssl.create_default_context(cafile=roots or env.find("AWS_CA_BUNDLE"))
