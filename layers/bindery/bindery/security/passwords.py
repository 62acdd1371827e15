"""Passwords: what is stored instead of one (scrypt, RFC 7914), and whether one that is presented is it.

What is stored is a PHC string that names its own parameters, `$scrypt$ln=17,r=8,p=1$<salt>$<hash>`, so that they can be
raised without making earlier ones worthless.
"""

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata

SHORTEST, LONGEST = 8, 256
"""Characters of a password."""

_LN, _R, _P = 17, 8, 1
"""N = 2**17: 128 MiB and about half a second for each hash."""
_SALT_BYTES = 16
_STORED = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)")


def protect(password: str) -> str:
    """What to store of a password; of the same one, something else every time."""
    salt = secrets.token_bytes(_SALT_BYTES)
    hashed = _hash(password, salt, _LN, _R, _P)
    return f"$scrypt$ln={_LN},r={_R},p={_P}${_text(salt)}${_text(hashed)}"


def verify(password: str, stored: str | None) -> bool:
    """Whether this is the password that `stored` stands for, in a time that does not tell how nearly.

    Where nothing is stored it takes as long and is false: nobody learns by it who has a password.
    """
    parts = _STORED.fullmatch(_NOTHING if stored is None else stored)
    if parts is None:
        raise ValueError("what is stored is not what protect() makes")
    ln, r, p = map(int, parts.group(1, 2, 3))
    salt, hashed = map(_bytes, parts.group(4, 5))
    return hmac.compare_digest(_hash(password, salt, ln, r, p), hashed) and stored is not None


def _hash(password: str, salt: bytes, ln: int, r: int, p: int) -> bytes:
    # The same characters typed on another keyboard may come composed in another way.
    data = unicodedata.normalize("NFKC", password).encode()
    n = 2**ln
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p + 2), dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


_NOTHING = f"$scrypt$ln={_LN},r={_R},p={_P}${_text(bytes(_SALT_BYTES))}${_text(bytes(32))}"
