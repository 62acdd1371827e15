"""Verification of access tokens from the bank's OpenID Connect issuer."""

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

# `jwt.PyJWKClient` is not used: it has no discovery and no size limit, does not distinguish an unknown key from a
# broken key set, and asks an unavailable issuer again for every forged key id.
import jwt

from bindery.core import clock, env
from bindery.core.errors import Reason, Refused

# Never `none`, and never HMAC: the published key would be its secret.
ALGORITHMS = ["RS256", "ES256"]

LEEWAY = 60  # seconds of accepted clock skew
LIFETIME = 600  # seconds to cache keys
COOL_DOWN = 10  # seconds between requests to the issuer for unknown key ids, which may be forged
PAUSE = 1  # seconds before an unavailable issuer is asked again
TIME_LIMIT = 2  # seconds to fetch both of the issuer's documents
SIZE_LIMIT = 256 * 1024  # bytes per document

logger = logging.getLogger("bindery.oidc")

# The last is the local machine's name in its containers (`sam local`).
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})
_CHECKS: Any = {"require": ["iss", "aud", "exp"], "enforce_minimum_key_length": True}
_CLAIMS_ALONE: Any = _CHECKS | {f"verify_{claim}": True for claim in ("exp", "nbf", "iat", "aud", "iss")}


_KeyId = tuple[str, str]
"""`kid` and algorithm: keys of different types may share a `kid` (RFC 7517, section 4.5)."""


class _Keys:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: Mapping[_KeyId, jwt.PyJWK] = {}
        self._good_until = 0
        self._ask_from = 0
        self._reached = True

    def find(self, key_id: _KeyId) -> jwt.PyJWK | None:
        with self._lock:
            now = clock.seconds()
            good = now < self._good_until
            if good and key_id in self._keys:
                return self._keys[key_id]
            if now >= self._ask_from:
                self._reached, self._ask_from = False, now + PAUSE
                self._keys = _fetch_keys(env.read("ISSUER"))
                self._reached, self._good_until = True, now + LIFETIME
                self._ask_from = now + COOL_DOWN if good else now
            elif not self._reached:
                raise Refused(Reason.UNAVAILABLE)
            return self._keys.get(key_id)


_keys = _Keys()


# The template's default for `ISSUER`: all tokens are rejected, without a request to the issuer.
NOT_CONFIGURED = "https://issuer.invalid"


def verify(token: str) -> dict[str, Any]:
    """Return a token's claims. Raises `TOKEN_INVALID`, or `UNAVAILABLE` without keys."""
    if env.read("ISSUER") == NOT_CONFIGURED:
        raise Refused(Reason.TOKEN_INVALID)
    claims: dict[str, Any] = {
        "issuer": env.read("ISSUER"),
        "audience": env.read("AUDIENCE"),
        "leeway": LEEWAY,
    }
    try:
        # Check the claims first, so that only a plausible token causes a request to the issuer.
        header = jwt.decode_complete(token, options={"verify_signature": False} | _CLAIMS_ALONE, **claims)["header"]
        key = _keys.find((header["kid"], header["alg"])) if header["alg"] in ALGORITHMS else None
        if key is None:
            raise Refused(Reason.TOKEN_INVALID)
        return jwt.decode(token, key, ALGORITHMS, _CHECKS, **claims)
    except (jwt.PyJWTError, ValueError, KeyError):
        raise Refused(Reason.TOKEN_INVALID) from None


def published() -> list[str]:
    """Fetch the ids of the issuer's usable keys."""
    return [key_id for key_id, _ in _fetch_keys(env.read("ISSUER"))]


def clear_cache() -> None:
    """Clear the cache."""
    global _keys
    _keys = _Keys()


def _fetch_keys(issuer: str) -> dict[_KeyId, jwt.PyJWK]:
    deadline = time.monotonic() + TIME_LIMIT
    # Wait until an abandoned request has ended.
    if not _turn.acquire(timeout=TIME_LIMIT):
        raise Refused(Reason.UNAVAILABLE) from TimeoutError()
    asking = _Asking(issuer)
    asking.start()
    return asking.answer(max(0.0, deadline - time.monotonic()))


# Held by the fetching thread until it ends.
_turn = threading.Semaphore()


class _Asking(threading.Thread):
    # A thread, because no timeout covers name resolution, all connection attempts and the headers as a whole. When the
    # caller abandons the thread, it shuts the connection, which ends the thread. A thread that is still connecting ends
    # once it has connected. No other thread is started before that, and the result is discarded.

    def __init__(self, issuer: str) -> None:
        super().__init__(daemon=True)
        self._issuer = issuer
        self._keys: dict[_KeyId, jwt.PyJWK] = {}
        self._error: BaseException | None = None
        self._socket: socket.socket | None = None
        self._given_up = False

    def answer(self, seconds: float) -> dict[_KeyId, jwt.PyJWK]:
        """Wait for the keys for a limited time."""
        self.join(seconds)
        if self.is_alive():
            self._given_up = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            raise Refused(Reason.UNAVAILABLE) from TimeoutError()
        if self._error is not None:
            raise self._error
        return self._keys

    def run(self) -> None:
        try:
            self._keys = self._published()
        except BaseException as error:
            self._error = error
        finally:
            _turn.release()

    def _published(self) -> dict[_KeyId, jwt.PyJWK]:
        discovery = self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        # UNAVAILABLE, because an invalid document is not the caller's error.
        if discovery.get("issuer") != self._issuer:
            raise Refused(Reason.UNAVAILABLE)
        published = self._fetch(discovery.get("jwks_uri")).get("keys")
        built = [_build(*numbered) for numbered in enumerate(published)] if isinstance(published, list) else []
        if not any(built):
            raise Refused(Reason.UNAVAILABLE)
        return {
            (key.key_id, key.algorithm_name): key
            for key in built
            if key
            and isinstance(key.key_id, str)
            and key.algorithm_name in ALGORITHMS
            and key.public_key_use in ("sig", None)
        }

    def _fetch(self, url: object) -> dict[str, Any]:
        try:
            if not isinstance(url, str):
                raise ValueError("no URL")
            parts = urlsplit(url)
            with closing(_connection(parts)) as connection:
                connection.connect()
                self._socket = connection.sock
                if self._given_up:
                    raise TimeoutError
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": "Bindery"})
                with connection.getresponse() as response:
                    body = response.read(SIZE_LIMIT + 1)
            if response.status != 200:
                raise HTTPException("no document")
            if len(body) > SIZE_LIMIT:
                raise ValueError("too large")
            document = json.loads(body)
        except (OSError, HTTPException, ValueError, RecursionError) as error:
            raise Refused(Reason.UNAVAILABLE) from error
        if not isinstance(document, dict):
            raise Refused(Reason.UNAVAILABLE)
        return document


def _build(position: int, entry: Any) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK(entry)
    except Exception as error:
        # PyJWT does not catch the exceptions of its parsers, such as a TypeError for {"alg": ["RS256"]}.
        logger.warning(
            "skipped an unusable key of the issuer", extra={"position": position, "error": type(error).__name__}
        )
        return None


def _connection(parts: SplitResult) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return HTTPSConnection(host, parts.port or 443, timeout=TIME_LIMIT, context=_context())
    if parts.scheme == "http" and host in _LOOPBACK:
        return HTTPConnection(host, parts.port or 80, timeout=TIME_LIMIT)
    raise ValueError("neither https nor on this machine")


@cache
def _context() -> ssl.SSLContext:
    # Cached: loading the certificate authorities is slow.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
