"""quectel: share codes, which are encrypted offers and are not stored.

Encryption uses a synthetic IV (RFC 5297) of HMAC-SHA-256: the tag authenticates the offer, account and user domain, and
selects the key stream. So equal offers have equal codes, and no two offers have the same key stream.
"""

import base64
import hmac
import json
from operator import xor
from typing import NamedTuple

from bindery.directory.sessions import Session
from bindery.security import secrets

_BLOCK = 32
"""Bytes of an HMAC-SHA-256: of the tag, and of each block of the key stream."""


class Offer(NamedTuple):
    """The content of a share code. Times are seconds."""

    sharer: str
    generation: int
    """Generation of the sharer's sessions: revoking their tokens ends the code."""
    product_key: str
    device_key: str
    binding: str
    series: str
    """The sharer's codes of one series are valid together; a new series ends the previous one."""
    accepting_until: int
    sharing_until: int


def encode(offer: Offer, account: str, domain: str | None) -> str:
    """Return the code of an offer, for users of this account and domain."""
    text = json.dumps(offer, separators=(",", ":"))
    tag = _tag(text, account, domain)
    return base64.urlsafe_b64encode(tag + _crypt(tag, text.encode())).rstrip(b"=").decode()


def decode(code: str, session: Session) -> Offer | None:
    """Return the offer of a code, or None if it is invalid for this user."""
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
    """Encrypt or decrypt by XOR with the key stream."""
    key = _key("stream")
    blocks = (hmac.digest(key, tag + block.to_bytes(4, "big"), "sha256") for block in range(-(-len(text) // _BLOCK)))
    return bytes(map(xor, text, b"".join(blocks)))


def _key(purpose: str) -> bytes:
    return secrets.derive("BINDING_KEY_SECRET", "share code", purpose)
