"""HTTP connections to one AWS endpoint, kept open between requests."""

import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from functools import cache
from pathlib import Path
from select import POLLIN, poll
from urllib.parse import urlsplit

from bindery.aws.errors import ConnectionFailed
from bindery.aws.responses import Reader, Response
from bindery.core import env

CONNECT_TIMEOUT = 1.0  # seconds, for TCP and again for TLS
RESPONSE_TIMEOUT = 2.0  # seconds, for the request and the whole response
IDLE_LIMIT = 20  # seconds after which a connection is not used again

_WRONG_HOST = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


class Connections:
    """Connections to the host of a URL. Any number of threads may use them: each request has one of its own."""

    def __init__(self, url: str, timeout: float | None = None) -> None:
        """`timeout` is the limit for a request and its whole response, in seconds, if not `RESPONSE_TIMEOUT`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not the URL of an endpoint")
        self._secure = parts.scheme == "https"
        self._timeout = RESPONSE_TIMEOUT if timeout is None else timeout
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
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def exchange(self, request: bytes) -> Response:
        """Send a request and return its response. Raises `ConnectionFailed`."""
        connection = self._take() or self._connect()
        try:
            return connection.exchange(request, self._timeout)
        except ConnectionFailed as failed:
            if failed.stale:
                # The others have been idle for longer.
                self.close()
            raise
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                connection.close()

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
        roots = self._roots
        try:
            return _Connection(self._socket(roots))
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _WRONG_HOST or roots is None:
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
        self._idle = False
        self.reusable = False

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def usable(self, now: float) -> bool:
        self._idle = True
        return abs(now - self._used) < IDLE_LIMIT and (not self._poll.poll(0) or self._only_session_tickets())

    def _only_session_tickets(self) -> bool:
        # TLS 1.3 sends them after the handshake, so a new connection may have some to read. Anything else between
        # requests is the end of the connection.
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            pass
        return False

    def exchange(self, request: bytes, timeout: float) -> Response:
        self.reusable = False
        reader = Reader(self._socket, time.monotonic() + timeout)
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(request)
            response = reader.read()
        except (OSError, ValueError) as error:
            raise _failure(error, stale=self._idle and not reader.started) from error
        self._used = time.time()
        self.reusable = reader.reusable
        return response


def _failure(error: Exception, *, stale: bool = False) -> ConnectionFailed:
    timed_out = isinstance(error, TimeoutError)
    return ConnectionFailed(
        type(error).__name__, timed_out=timed_out, stale=stale and isinstance(error, OSError) and not timed_out
    )


def _amazon_roots() -> str | None:
    # Parsing Amazon's few root certificates takes a fraction of the time for all authorities'.
    folder = env.find("AWS_DATA_PATH")
    if folder is None or env.find("AWS_CA_BUNDLE") is not None:
        return None
    path = Path(folder, "amazon-roots.pem")
    return str(path) if path.is_file() else None


@cache
def _context(roots: str | None) -> ssl.SSLContext:
    # Checks certificates and host names, and requires TLS 1.2.
    return ssl.create_default_context(cafile=roots or env.find("AWS_CA_BUNDLE"))
