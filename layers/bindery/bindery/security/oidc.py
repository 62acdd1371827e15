"""Access tokens of the bank's own OpenID Connect issuer: verified against the keys that it publishes.

PyJWT reads tokens and keys. Its `PyJWKClient` is not used: it has no discovery, takes answers of any size, does not
tell an unknown key from a broken key set, and for every forged key id asks an issuer that is down again.
"""

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

import jwt

from bindery.core import clock, env
from bindery.core.errors import Reason, Refused

ALGORITHMS = ["RS256", "ES256"]
"""What a token may be signed with; never `none`, and no HMAC, whose secret a published key would be."""

LEEWAY = 60
"""Seconds by which the issuer's clock and ours may differ."""

LIFETIME = 600
"""Seconds for which fetched keys are good."""

COOL_DOWN = 10
"""Seconds before a second unknown key id makes us ask the issuer again, so that forged ids cannot make us hammer it."""

PAUSE = 1
"""Seconds before an issuer that could not be reached is asked again."""

TIME_LIMIT = 2
"""Seconds in which both of the issuer's documents must be there, whatever the network does."""

SIZE_LIMIT = 256 * 1024
"""Bytes that one of the issuer's two documents may have."""

logger = logging.getLogger("bindery.oidc")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})
"""Names of this machine, the last one in its containers (`sam local`)."""
_CHECKS: Any = {"require": ["iss", "aud", "exp"], "enforce_minimum_key_length": True}
_CLAIMS_ALONE: Any = _CHECKS | {f"verify_{claim}": True for claim in ("exp", "nbf", "iat", "aud", "iss")}


class _Keys:
    """The issuer's keys by id, fetched when they are needed; several threads may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._good_until = 0
        self._ask_from = 0
        self._reached = True

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key, or None if the issuer has no such key. Raises `UNAVAILABLE`: it could not be asked."""
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


NOT_CONFIGURED = "https://issuer.invalid"
"""The template's default for `ISSUER`: no issuer, so no token is good and none is asked for keys."""


def verify(token: str) -> dict[str, Any]:
    """The claims of an access token of the issuer in `ISSUER` for the audience in `AUDIENCE`.

    Raises `TOKEN_INVALID`: malformed, of another issuer or audience, expired, not valid yet, signed with a key that the
    issuer does not publish or in another way than `ALGORITHMS`. Raises `UNAVAILABLE`: the keys could not be fetched.
    """
    if env.read("ISSUER") == NOT_CONFIGURED:
        raise Refused(Reason.TOKEN_INVALID)
    claims: dict[str, Any] = {
        "issuer": env.read("ISSUER"),
        "audience": env.read("AUDIENCE"),
        "leeway": LEEWAY,
    }
    try:
        # The claims first: a token that is refused in any case never makes us ask the issuer.
        header = jwt.decode_complete(token, options={"verify_signature": False} | _CLAIMS_ALONE, **claims)["header"]
        key = _keys.find(header["kid"]) if header["alg"] in ALGORITHMS else None
        if key is None:
            raise Refused(Reason.TOKEN_INVALID)
        return jwt.decode(token, key, ALGORITHMS, _CHECKS, **claims)
    except (jwt.PyJWTError, ValueError, KeyError):
        raise Refused(Reason.TOKEN_INVALID) from None


def published() -> list[str]:
    """The ids of the keys that the issuer publishes at this moment and that can be used. Raises `UNAVAILABLE`."""
    return list(_fetch_keys(env.read("ISSUER")))


def clear_cache() -> None:
    """Forget the keys fetched so far (for a process that changes its issuer: tests, the local server)."""
    global _keys
    _keys = _Keys()


def _fetch_keys(issuer: str) -> dict[str, jwt.PyJWK]:
    """The keys that the issuer signs with. Raises `UNAVAILABLE`, a bad document included: no caller is to blame."""
    deadline = time.monotonic() + TIME_LIMIT
    # What was given up is over before the issuer is asked again.
    if not _turn.acquire(timeout=TIME_LIMIT):
        raise Refused(Reason.UNAVAILABLE) from TimeoutError()
    asking = _Asking(issuer)
    asking.start()
    return asking.answer(max(0.0, deadline - time.monotonic()))


_turn = threading.Semaphore()
"""Held by the one thread that asks, until it ends."""


class _Asking(threading.Thread):
    """The issuer is asked for its keys, in a thread of its own.

    A name is looked up, its addresses are tried one after the other and headers are read in calls that no timeout
    bounds as a whole. So whoever waits for them can give up: the connection is shut, on which the thread ends, or it
    ends when it has one. Until then, at most as long as look-up and addresses take, no other is started; its answer is
    nobody's any more.
    """

    def __init__(self, issuer: str) -> None:
        super().__init__(daemon=True)
        self._issuer = issuer
        self._keys: dict[str, jwt.PyJWK] = {}
        self._error: BaseException | None = None
        self._socket: socket.socket | None = None
        self._given_up = False

    def answer(self, seconds: float) -> dict[str, jwt.PyJWK]:
        """The keys, if they are there in time. Raises `UNAVAILABLE`."""
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
        """Ask, and keep what comes of it for whoever waits."""
        try:
            self._keys = self._published()
        except BaseException as error:
            self._error = error
        finally:
            _turn.release()

    def _published(self) -> dict[str, jwt.PyJWK]:
        discovery = self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovery.get("issuer") != self._issuer:
            raise Refused(Reason.UNAVAILABLE)
        published = self._fetch(discovery.get("jwks_uri")).get("keys")
        built = [_build(*numbered) for numbered in enumerate(published)] if isinstance(published, list) else []
        if not any(built):
            raise Refused(Reason.UNAVAILABLE)
        return {
            key.key_id: key
            for key in built
            if key
            and isinstance(key.key_id, str)
            and key.algorithm_name in ALGORITHMS
            and key.public_key_use in ("sig", None)
        }

    def _fetch(self, url: object) -> dict[str, Any]:
        """A JSON object from the issuer, by https (http on this machine alone). Redirects are not followed."""
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
    """One entry of a key set, or None (and one log line) if no key can be built from it."""
    try:
        return jwt.PyJWK(entry)
    except Exception as error:
        # PyJWT lets through what its parsers raise: a TypeError for {"alg": ["RS256"]}, for example.
        logger.warning(
            "skipped an unusable key of the issuer", extra={"position": position, "error": type(error).__name__}
        )
        return None


def _connection(parts: SplitResult) -> HTTPConnection:
    """A connection to which nobody else can listen, not yet made. Raises `ValueError`: there is none to such a URL."""
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return HTTPSConnection(host, parts.port or 443, timeout=TIME_LIMIT, context=_context())
    if parts.scheme == "http" and host in _LOOPBACK:
        return HTTPConnection(host, parts.port or 80, timeout=TIME_LIMIT)
    raise ValueError("neither https nor on this machine")


@cache
def _context() -> ssl.SSLContext:
    """Made once: the authorities that it trusts take a while to read."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
