"""HTTP requests to URLs that operators chose: only to public addresses, and within a time limit."""

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from bindery.core import clock, env
from bindery.core.errors import Reason, Refused

TIME_LIMIT = 10.0  # seconds, from the look-up of the host to the end of the response
LONGEST_URL = 2048

_HEAD_LIMIT = 16 * 1024
_BODY_LIMIT = 4 * 1024
_PART = 4 * 1024

_URL = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_SECONDS = re.compile(r"[0-9]{1,9}")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Error(StrEnum):
    """Reason for which there was no response."""

    UNRESOLVED = "unresolved"
    """The host name does not exist, or its look-up failed."""
    NOT_PUBLIC = "not_public"
    """The host has an address that is not public."""
    UNREACHABLE = "unreachable"
    """No TCP connection was accepted."""
    TLS = "tls"
    """The TLS handshake failed, for example because the certificate is not valid for the host."""
    TIMED_OUT = "timed_out"
    MALFORMED = "malformed"
    """The response is not HTTP, or the connection was closed before its end."""


class Outcome(NamedTuple):
    """Result of a request."""

    status: int | None = None
    error: Error | None = None
    retry_after: int | None = None  # seconds
    milliseconds: int = 0


class _Failed(Exception):
    def __init__(self, error: Error) -> None:
        super().__init__(error.value)
        self.error = error


def check(url: str) -> None:
    """Check a URL and the addresses of its host. Raises `INVALID`."""
    try:
        parts = _parts(url)
        _addresses(parts, time.monotonic() + TIME_LIMIT)
    except ValueError as error:
        raise Refused(Reason.INVALID, at="url", detail=str(error)) from None
    except _Failed as failed:
        plain = parts.scheme == "http" and failed.error is Error.NOT_PUBLIC
        raise Refused(Reason.INVALID, at="url", detail=_NOT_HERE if plain else _TEXTS[failed.error]) from None


_NOT_HERE = "must begin with https://, unless its host is this machine (localhost)"

_TEXTS = {
    Error.UNRESOLVED: "the host does not exist, or its address could not be looked up",
    Error.TIMED_OUT: "the address of the host could not be looked up in time",
    Error.NOT_PUBLIC: "the host has an address that is not public",
}


def post(url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Send a request and return the status of the response. Redirects are not followed, and proxies are not used."""
    started = time.monotonic()
    deadline = started + TIME_LIMIT
    status = error = retry_after = None
    try:
        parts = _parts(url)
        addresses = _addresses(parts, deadline)
        with _connect(parts, addresses, deadline) as connected:
            _send(connected, _head(parts, headers, len(body)) + body, deadline)
            status, found = _receive(connected, deadline)
        retry_after = _retry_after(found.get("retry-after", ""))
    except _Failed as failed:
        error = failed.error
    except TimeoutError:
        error = Error.TIMED_OUT
    except (OSError, ValueError):
        error = Error.MALFORMED
    return Outcome(status, error, retry_after, round((time.monotonic() - started) * 1000))


def is_public(address: str) -> bool:
    """Return True if an IP address, and the IPv4 address that it embeds, are on the Internet."""
    found = ipaddress.ip_address(address)
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return False
        embedded = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            embedded = IPv4Address(int(found) & 0xFFFFFFFF)
        if embedded is not None:
            return _is_unicast(embedded)
        # Teredo's relays are on the receiver's side, and what it embeds is not checked.
        return found.teredo is None and not found.is_site_local and _is_unicast(found)
    return _is_unicast(found)


def _is_unicast(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def _parts(url: str) -> SplitResult:
    """Split a URL. Raises `ValueError` with what is wrong."""
    if len(url) > LONGEST_URL or _URL.fullmatch(url) is None:
        raise ValueError(f"must be at most {LONGEST_URL} ASCII characters without spaces; encode others")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and _to_loopback()):
        raise ValueError("must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password")
    if not parts.hostname or _HOST.fullmatch(parts.hostname) is None or port == 0:
        raise ValueError("has no valid host or port")
    if parts.fragment:
        raise ValueError("must not have a fragment (#)")
    return parts


def _to_loopback() -> bool:
    return env.read("WEBHOOKS_TO_LOOPBACK") != ""


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host. Raises `OSError`, or `UnicodeError` for an invalid name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _addresses(parts: SplitResult, deadline: float) -> Sequence[str]:
    """Look up and check the addresses of a host."""
    found = _Resolving(parts.hostname or "", _port(parts)).wait(deadline)
    for address in found:
        loopback = _to_loopback() and ipaddress.ip_address(address).is_loopback
        # http is for loopback only.
        if not loopback and (parts.scheme == "http" or not is_public(address)):
            raise _Failed(Error.NOT_PUBLIC)
    return found


class _Resolving(threading.Thread):
    # A thread, because no time limit covers name resolution. One that is abandoned ends with its look-up.

    def __init__(self, host: str, port: int) -> None:
        super().__init__(daemon=True)
        self._asked = host, port
        self._found: Sequence[str] = ()

    def wait(self, deadline: float) -> Sequence[str]:
        """Return the addresses. Raises `_Failed`."""
        self.start()
        self.join(max(0.0, deadline - time.monotonic()))
        if self.is_alive():
            raise _Failed(Error.TIMED_OUT)
        if not self._found:
            raise _Failed(Error.UNRESOLVED)
        return self._found

    def run(self) -> None:
        with suppress(OSError, UnicodeError):
            self._found = resolve(*self._asked)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(parts: SplitResult, addresses: Sequence[str], deadline: float) -> socket.socket:
    """Connect to one of the checked addresses, and check that the certificate is of the URL's host."""
    plain = _first_connected(addresses, _port(parts), deadline)
    try:
        if parts.scheme == "http":
            return plain
        plain.settimeout(_left(deadline))
        return _context().wrap_socket(plain, server_hostname=parts.hostname)
    except TimeoutError:
        plain.close()
        raise
    except (OSError, ValueError) as error:
        plain.close()
        raise _Failed(Error.TLS) from error
    except BaseException:
        plain.close()
        raise


def _first_connected(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    for number, address in enumerate(addresses):
        # An address that does not answer leaves time for the others.
        with suppress(OSError):
            return socket.create_connection((address, port), _left(deadline) / (len(addresses) - number))
    _left(deadline)
    raise _Failed(Error.UNREACHABLE)


@cache
def _context() -> ssl.SSLContext:
    # Cached: loading the certificate authorities is slow. Checks certificates and host names, and requires TLS 1.2.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = {
        "Host": parts.netloc,
        "User-Agent": "Bindery",
        "Content-Type": "application/json",
        "Content-Length": str(length),
        "Connection": "close",
        **headers,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target} HTTP/1.1\r\n{text}\r\n".encode("ascii")


def _send(connected: socket.socket, request: bytes, deadline: float) -> None:
    left = memoryview(request)
    while left:
        connected.settimeout(_left(deadline))
        left = left[connected.send(left) :]


def _receive(connected: socket.socket, deadline: float) -> tuple[int, dict[str, str]]:
    """Return the status and headers of the response."""
    received = bytearray()
    status = 100
    headers: dict[str, str] = {}
    while status < 200:
        # Interim responses, such as 100 Continue, come before the response.
        status, headers = _received_head(connected, received, deadline)
    length = headers.get("content-length", "")
    expected = int(length) if _SECONDS.fullmatch(length) else _BODY_LIMIT
    if status in (204, 304):
        expected = 0
    # The status decides, so a body that is damaged or late does not matter. It is read, up to a limit, because closing
    # the connection before would be an error for some servers.
    with suppress(OSError):
        while len(received) < min(expected, _BODY_LIMIT) and _receive_part(connected, received, deadline):
            pass
    return status, headers


def _received_head(connected: socket.socket, received: bytearray, deadline: float) -> tuple[int, dict[str, str]]:
    while (end := received.find(b"\r\n\r\n")) < 0:
        if len(received) > _HEAD_LIMIT:
            raise ValueError("the headers are too long")
        if not _receive_part(connected, received, deadline):
            raise ConnectionResetError("closed during a response")
    start, *lines = bytes(received[:end]).split(b"\r\n")
    del received[: end + 4]
    found = _STATUS.fullmatch(start)
    if found is None:
        raise ValueError("not an HTTP response")
    pairs = [line.decode("latin-1").partition(":") for line in lines]
    return int(found[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _receive_part(connected: socket.socket, received: bytearray, deadline: float) -> bool:
    connected.settimeout(_left(deadline))
    part = connected.recv(_PART)
    received += part
    return bool(part)


def _retry_after(text: str) -> int | None:
    """Return the seconds of a `Retry-After`, which is a number or a date."""
    if _SECONDS.fullmatch(text):
        return int(text)
    with suppress(ValueError, OverflowError):
        return max(0, int(parsedate_to_datetime(text).timestamp()) - clock.seconds())
    return None
