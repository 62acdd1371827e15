"""quectel: share codes, which are encrypted offers.

The synthetic IV (RFC 5297), an HMAC-SHA-256, authenticates the offer, account and user domain, and selects the key
stream, so no two offers share one.
"""

import base64
import hmac
import json
from operator import xor
from typing import NamedTuple

from bindery.directory.sessions import Session
from bindery.security import secrets

_BLOCK = 32
"""Bytes of an HMAC-SHA-256."""


class Offer(NamedTuple):
    """Content of a share code. Times are seconds."""

    sharer: str
    generation: int
    """Revoking the sharer's tokens ends the code."""
    product_key: str
    device_key: str
    binding: str
    series: str
    """A new series ends the previous one's codes."""
    accepting_until: int
    sharing_until: int


def encode(offer: Offer, account: str, domain: str | None) -> str:
    """Return an offer's code, for this account and domain."""
    text = json.dumps(offer, separators=(",", ":"))
    tag = _tag(text, account, domain)
    return base64.urlsafe_b64encode(tag + _crypt(tag, text.encode())).rstrip(b"=").decode()


def decode(code: str, session: Session) -> Offer | None:
    """Return a code's offer, or None if invalid for this user."""
    try:
        sealed = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    tag = sealed[:_BLOCK]
    # JSON is ASCII here. Latin-1 decodes any bytes, so that only the tag decides whether a forged code is refused.
    text = _crypt(tag, sealed[_BLOCK:]).decode("latin-1")
    if not hmac.compare_digest(tag, _tag(text, session.account, session.domain)):
        return None
    return Offer(*json.loads(text))


def _tag(text: str, account: str, domain: str | None) -> bytes:
    return hmac.digest(_key("tag"), secrets.framed(text, account, domain or ""), "sha256")


def _crypt(tag: bytes, text: bytes) -> bytes:
    key = _key("stream")
    blocks = (hmac.digest(key, tag + block.to_bytes(4, "big"), "sha256") for block in range(-(-len(text) // _BLOCK)))
    return bytes(map(xor, text, b"".join(blocks)))


def _key(purpose: str) -> bytes:
    return secrets.derive("BINDING_KEY_SECRET", "share code", purpose)
