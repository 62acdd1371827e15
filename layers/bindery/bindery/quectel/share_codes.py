"""quectel: share codes. A code is an encrypted offer, readable and valid only here; codes are not stored.

Encryption is deterministic (a synthetic IV, as in RFC 5297, here of HMAC-SHA-256): the tag authenticates the offer with
its sharer's account and user domain, and selects the key stream that encrypts it. So the same offer has the same code,
and the codes of different offers have different key streams.
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
    """What a share code offers. Times are seconds."""

    sharer: str
    generation: int
    """Generation of the sharer's sessions: the code ends when their tokens are revoked."""
    product_key: str
    device_key: str
    binding: str
    series: str
    """The sharer's codes of one series are valid together; a new series ends the last."""
    accepting_until: int
    sharing_until: int


def write(offer: Offer, account: str, domain: str | None) -> str:
    """Return the code of an offer, valid for users of this account and domain: the same one each time."""
    said = json.dumps(offer, separators=(",", ":"))
    tag = _tag(said, account, domain)
    return base64.urlsafe_b64encode(tag + _crypt(tag, said.encode())).rstrip(b"=").decode()


def read(code: str, session: Session) -> Offer | None:
    """Return the offer of a code, or None if it was not made here for users of this account and domain."""
    try:
        sealed = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    tag = sealed[:_BLOCK]
    # JSON is ASCII here. Latin-1 decodes any bytes, so that only the tag decides whether a forged code is refused.
    said = _crypt(tag, sealed[_BLOCK:]).decode("latin-1")
    if not hmac.compare_digest(tag, _tag(said, session.account, session.domain)):
        return None
    return Offer(*json.loads(said))


def _tag(said: str, account: str, domain: str | None) -> bytes:
    return hmac.digest(_key("tag"), secrets.framed(said, account, domain or ""), "sha256")


def _crypt(tag: bytes, text: bytes) -> bytes:
    """Encrypt or decrypt: XOR with the key stream that the tag selects."""
    key = _key("stream")
    blocks = (hmac.digest(key, tag + block.to_bytes(4, "big"), "sha256") for block in range(-(-len(text) // _BLOCK)))
    return bytes(map(xor, text, b"".join(blocks)))


def _key(purpose: str) -> bytes:
    return secrets.derive("BINDING_KEY_SECRET", "share code", purpose)
