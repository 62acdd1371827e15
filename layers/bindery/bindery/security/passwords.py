"""Password hashing with scrypt (RFC 7914)."""

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata

SHORTEST, LONGEST = 8, 256  # characters

# N = 2**17: a hash takes 128 MiB and about half a second.
_LN, _R, _P = 17, 8, 1
_SALT_BYTES = 16
# A hash includes its parameters, so it stays valid if they are raised.
_STORED = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


def protect(password: str) -> str:
    """Hash a password with a random salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    hashed = _hash(password, salt, _LN, _R, _P)
    return f"$scrypt$ln={_LN},r={_R},p={_P}${_text(salt)}${_text(hashed)}"


def verify(password: str, stored: str | None) -> bool:
    """Check a password against its stored hash in constant time. None takes as long and does not match."""
    parts = _STORED.fullmatch(_NOTHING if stored is None else stored)
    if parts is None:
        raise ValueError("what is stored is not what protect() makes")
    ln, r, p = map(int, parts.group(1, 2, 3))
    salt, hashed = map(_bytes, parts.group(4, 5))
    return hmac.compare_digest(_hash(password, salt, ln, r, p), hashed) and stored is not None


def _hash(password: str, salt: bytes, ln: int, r: int, p: int) -> bytes:
    # Keyboards differ in how they compose characters.
    data = unicodedata.normalize("NFKC", password).encode()
    n = 2**ln
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p + 2), dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


_NOTHING = f"$scrypt$ln={_LN},r={_R},p={_P}${_text(bytes(_SALT_BYTES))}${_text(bytes(32))}"
