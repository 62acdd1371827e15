"""Access tokens of the bank's own OpenID Connect issuer: verified against the keys that it publishes.

PyJWT reads tokens and keys. Its `PyJWKClient` is not used: it has no discovery, takes answers of any size, does not
tell an unknown key from a broken key set, and for every forged key id asks an issuer that is down again.
"""

import json
import threading
import time
from collections.abc import Mapping
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, build_opener

import jwt

from bindery import clock, settings
from bindery.faults import Fault, Reason

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
"""Seconds in which one of the issuer's two documents must be there."""

SIZE_LIMIT = 256 * 1024
"""Bytes that one of the issuer's two documents may have."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_CHECKS: Any = {"require": ["iss", "aud", "exp"], "enforce_minimum_key_length": True}
_CLAIMS_ALONE: Any = _CHECKS | {f"verify_{claim}": True for claim in ("exp", "nbf", "iat", "aud", "iss")}


class _NoRedirect(HTTPRedirectHandler):
    """The issuer's documents stand where it says, not where a redirect leads."""

    def redirect_request(self, *_: object) -> None:
        return None


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
                self._keys = _fetch_keys(settings.read("ISSUER"))
                self._reached, self._good_until = True, now + LIFETIME
                self._ask_from = now + COOL_DOWN if good else now
            elif not self._reached:
                raise Fault(Reason.UNAVAILABLE)
            return self._keys.get(key_id)


_keys = _Keys()


NOT_CONFIGURED = "https://issuer.invalid"
"""The template's default for `ISSUER`: no issuer, so no token is good and none is asked for keys."""


def verify(token: str) -> dict[str, Any]:
    """The claims of an access token of the issuer in `ISSUER` for the audience in `AUDIENCE`.

    Raises `TOKEN_INVALID`: malformed, of another issuer or audience, expired, not valid yet, signed with a key that the
    issuer does not publish or in another way than `ALGORITHMS`. Raises `UNAVAILABLE`: the keys could not be fetched.
    """
    if settings.read("ISSUER") == NOT_CONFIGURED:
        raise Fault(Reason.TOKEN_INVALID)
    claims: dict[str, Any] = {
        "issuer": settings.read("ISSUER"),
        "audience": settings.read("AUDIENCE"),
        "leeway": LEEWAY,
    }
    try:
        # The claims first: a token that is refused in any case never makes us ask the issuer.
        header = jwt.decode_complete(token, options={"verify_signature": False} | _CLAIMS_ALONE, **claims)["header"]
        key = _keys.find(header["kid"]) if header["alg"] in ALGORITHMS else None
        if key is None:
            raise Fault(Reason.TOKEN_INVALID)
        return jwt.decode(token, key, ALGORITHMS, _CHECKS, **claims)
    except (jwt.PyJWTError, ValueError, KeyError):
        raise Fault(Reason.TOKEN_INVALID) from None


def published() -> list[str]:
    """The ids of the keys that the issuer publishes at this moment and that can be used. Raises `UNAVAILABLE`."""
    return list(_fetch_keys(settings.read("ISSUER")))


def forget() -> None:
    """Forget the keys fetched so far (for a process that changes its issuer: tests, the local server)."""
    global _keys
    _keys = _Keys()


def _fetch_keys(issuer: str) -> dict[str, jwt.PyJWK]:
    """The keys that the issuer signs with. Raises `UNAVAILABLE`, a bad document included: no caller is to blame."""
    discovery = _fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if discovery.get("issuer") != issuer:
        raise Fault(Reason.UNAVAILABLE)
    try:
        found = jwt.PyJWKSet.from_dict(_fetch(discovery.get("jwks_uri")))
    except jwt.PyJWTError as error:
        raise Fault(Reason.UNAVAILABLE) from error
    return {
        key.key_id: key
        for key in found.keys
        if isinstance(key.key_id, str) and key.algorithm_name in ALGORITHMS and key.public_key_use in ("sig", None)
    }


def _fetch(url: object) -> dict[str, Any]:
    """A JSON object from the issuer, by https (http on this machine alone). Raises `UNAVAILABLE`."""
    deadline = time.monotonic() + TIME_LIMIT
    body = b""
    try:
        if not isinstance(url, str) or not _private(url):
            raise ValueError("neither https nor on this machine")
        with _opener().open(url, timeout=TIME_LIMIT) as response:
            while chunk := response.read1(SIZE_LIMIT):
                body += chunk
                if len(body) > SIZE_LIMIT or time.monotonic() > deadline:
                    raise ValueError("too large or too slow")
        document = json.loads(body)
    except HTTPError as error:
        error.close()
        raise Fault(Reason.UNAVAILABLE) from error
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise Fault(Reason.UNAVAILABLE) from error
    if not isinstance(document, dict):
        raise Fault(Reason.UNAVAILABLE)
    return document


@cache
def _opener() -> OpenerDirector:
    """Made once: the authorities that it trusts take a while to read."""
    return build_opener(_NoRedirect)


def _private(url: str) -> bool:
    """Whether nobody else can read or change what is fetched from there."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
