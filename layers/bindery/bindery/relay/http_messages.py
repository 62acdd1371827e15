"""HTTP/1.1 messages: requests from API Gateway's events, and responses for API Gateway."""

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any
from urllib.parse import quote

from typing_extensions import Buffer

from bindery.core.errors import Reason, Refused

BODY_LIMIT = 4_500_000
"""Bytes of a body: in base64 with headers, less than the 6 MiB that a Lambda function may return."""

HEAD_LIMIT = 10 * 1024
"""Bytes of a message's headers, as in API Gateway."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_SENT = _HOP_BY_HOP | {"content-length", "cookie", "expect", "forwarded", "host"}
# API Gateway sets its own Date.
_NOT_RETURNED = _HOP_BY_HOP | {"content-length", "date", "set-cookie"}
_DEFAULTS = {"referrer-policy": "no-referrer", "x-robots-tag": "noindex"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PATH = "/:@!$&'()*+,;=~"
_QUERY = _PATH + '?%[]{}|\\^`"<>'
_DOMAIN = re.compile(r";[ \t]*domain[ \t]*(=[^;]*)?(?=;|\Z)", re.IGNORECASE)
_FOLD = re.compile(r"[\r\n]+[ \t]+")
_DEFECTS = (FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect)


def method(event: Mapping[str, Any]) -> str:
    """Return a request's method."""
    found: str = event["requestContext"]["http"]["method"]
    return found


def host(event: Mapping[str, Any]) -> str:
    """Return the host name, and possibly the port, for which a request is."""
    given = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return given.get("host") or str(event["requestContext"]["domainName"])


def request(event: Mapping[str, Any]) -> bytes:
    """Return the request for the device's service.

    Raises `INVALID`, `UPGRADE_REQUESTED`, `HEADERS_TOO_LONG` and `BODY_TOO_LONG`.
    """
    body = _body(event)
    path, query = quote(event["rawPath"], safe=_PATH, errors="replace"), event.get("rawQueryString", "")
    target = f"{path}?{quote(query, safe=_QUERY, errors='replace')}" if query else path
    lines = [f"{method(event)} {target} HTTP/1.1"]
    for name, value in _sent(event, len(body)):
        if not _TOKEN.fullmatch(name) or _CONTROLS.search(value):
            raise Refused(Reason.INVALID)
        lines.append(f"{name}: {value}")
    head = _encoded("\r\n".join([*lines, "", ""]))
    if len(head) > HEAD_LIMIT:
        raise Refused(Reason.HEADERS_TOO_LONG)
    return head + body


def _encoded(head: str) -> bytes:
    # Headers are bytes, which a gateway decodes as Latin-1 or as UTF-8.
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        return head.encode(errors="replace")


def _body(event: Mapping[str, Any]) -> bytes:
    text: str = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode(errors="surrogatepass")
    if len(body) > BODY_LIMIT:
        raise Refused(Reason.BODY_TOO_LONG)
    return body


def _sent(event: Mapping[str, Any], length: int) -> Iterator[tuple[str, str]]:
    given = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if "upgrade" in given:
        raise Refused(Reason.UPGRADE_REQUESTED)
    yield "host", host(event)
    dropped = _NOT_SENT | _named(given.get("connection", ""))
    for name, value in given.items():
        if name not in dropped and not name.startswith("x-forwarded-"):
            yield name, value
    if cookies := event.get("cookies"):
        yield "cookie", "; ".join(cookies)
    yield "x-forwarded-for", event["requestContext"]["http"]["sourceIp"]
    yield "x-forwarded-host", host(event)
    # API Gateway's own value comes last.
    yield "x-forwarded-proto", given.get("x-forwarded-proto", "https").rpartition(",")[2].strip()
    if length or method(event) in ("POST", "PUT", "PATCH"):
        yield "content-length", str(length)
    yield "connection", "close"


def _named(connection: str) -> set[str]:
    """Return the headers that a `Connection` header names."""
    return {name.strip().lower() for name in connection.split(",")}


def response(read: Callable[[], bytes], method: str) -> dict[str, Any]:
    """Return API Gateway's response, given a function that returns the service's next bytes, b"" at their end.

    Raises `RESPONSE_MALFORMED` and `RESPONSE_TOO_LONG`, and whatever `read` raises.
    """
    reader = _Reader(_Bytes(read))
    try:
        found = _final(reader, method)
        made = _returned(found, method)
        if (found.length or 0) > BODY_LIMIT:
            raise Refused(Reason.RESPONSE_TOO_LONG)
        body = found.read(BODY_LIMIT + 1)
        if len(body) > BODY_LIMIT:
            raise Refused(Reason.RESPONSE_TOO_LONG)
        if found.length:
            raise IncompleteRead(body, found.length)
    except (HTTPException, ValueError) as error:
        raise Refused(Reason.RESPONSE_MALFORMED) from error
    return made | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _final(reader: "_Reader", method: str) -> HTTPResponse:
    """Return the response that follows those with a status of 1xx."""
    source: Any = _Socket(reader)
    while True:
        found = HTTPResponse(source, method=method)
        reader.in_head = True
        found.begin()
        reader.in_head = False
        if found.status == 101 or found.status > 599:
            raise ValueError(found.status)
        if found.status >= 200:
            return found


def _returned(found: HTTPResponse, method: str) -> dict[str, Any]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    _check(found)
    dropped = _NOT_RETURNED | _named(",".join(found.headers.get_all("connection", [])))
    for name, folded in found.headers.items():
        lower, value = name.lower(), _FOLD.sub(" ", folded).strip()
        if not _TOKEN.fullmatch(name) or _CONTROLS.search(value):
            raise ValueError(name)
        if lower == "set-cookie":
            cookies.append(_DOMAIN.sub("", value))
        elif lower not in dropped or (lower == "content-length" and method == "HEAD"):
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers and lower != "content-length" else value
    if sum(map(len, [*headers, *headers.values(), *cookies])) > HEAD_LIMIT:
        raise ValueError("the headers are too long")
    return {"statusCode": found.status, "headers": _DEFAULTS | headers, "cookies": cookies}


def _check(found: HTTPResponse) -> None:
    """Raise an error for headers of which `HTTPResponse` makes something else than other clients."""
    if any(isinstance(defect, _DEFECTS) for defect in found.headers.defects):
        raise ValueError("the headers are malformed")
    encodings = {value.strip().lower() for value in found.headers.get_all("transfer-encoding", [])}
    lengths = {value.strip() for value in found.headers.get_all("content-length", [])}
    if encodings - {"chunked"} or len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", each) for each in lengths):
        raise ValueError("the length is malformed")


class _Bytes(io.RawIOBase):
    """The bytes that a function returns."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._left = b""
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read bytes. Raises `RESPONSE_TOO_LONG`."""
        if not self._left:
            self._left = self._read()
            self._total += len(self._left)
            if self._total > 2 * BODY_LIMIT:
                # Chunks so small that their headers take more bytes than they have.
                raise Refused(Reason.RESPONSE_TOO_LONG)
        target = memoryview(buffer)
        part, self._left = self._left[: len(target)], self._left[len(target) :]
        target[: len(part)] = part
        return len(part)


class _Reader(io.BufferedReader):
    """A file that raises an error if it ends within a response's head."""

    in_head = False

    def close(self) -> None:
        """Do nothing: several responses read from the file, and each closes it."""

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if self.in_head and not line.endswith(b"\n"):
            raise IncompleteRead(line)
        return line


class _Socket:
    """As much of a socket as `HTTPResponse` uses."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> _Reader:
        return self._reader
