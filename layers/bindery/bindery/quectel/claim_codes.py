"""Claim codes (quectel): proof that a user who binds a device has seen its label. Not in the vendor's document.

A code is derived from the product key, the serial number and the product's `claim_version`, and is not stored.
"""

import hmac
import re
from typing import Any

from bindery.aws.expressions import Condition, absent, equals, every
from bindery.core.errors import Reason
from bindery.registry import identity, items
from bindery.security import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: without I, L, O and U."""

LENGTH = 10
"""50 bits."""

FIRST_VERSION = 1

LABELS_LIMIT = 500
"""Maximum number of labels per request."""

_CODE = "[0-9A-HJKMNP-TV-Z]{10}"
_LABEL = "(.*[^ ]) *-([0-9A-Ta-tV-Zv-z]{5}[ -]?[0-9A-Ta-tV-Zv-z]{5})"
_READ_ALIKE = str.maketrans("OIL", "011", " -")


def of(product_key: str, serial: str, version: int) -> str:
    """Return a device's claim code."""
    digest = secrets.derive(
        "CLAIM_SECRET", "claim code", identity.canonical(product_key), identity.canonical(serial), str(version)
    )
    number = int.from_bytes(digest[:8])
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(LENGTH))


def label(serial: str, code: str) -> str:
    """Return the text of a label's QR code, which apps send as the serial number."""
    return f"{identity.canonical(serial)}-{code}"


def parse(given: Any) -> str | None:
    """Return a code as `of` spells it, "" for text that is not a code, or None without text."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    code = given.strip().upper().translate(_READ_ALIKE) if isinstance(given, str) else ""
    return code if re.fullmatch(_CODE, code) else ""


def split(text: str) -> tuple[str, str | None] | None:
    """Split the text of a label into serial number and code, or return None if it does not end with a code."""
    # Most serial numbers contain no hyphen, and compiling the pattern is slow.
    found = re.fullmatch(_LABEL, text.strip()) if "-" in text else None
    return None if found is None else (found[1], parse(found[2]))


def accepts(product: items.Product, device: str, code: str | None) -> bool:
    """Return True if the product requires no claim codes, or if this is the device's, in constant time."""
    if not product.get("claim_codes"):
        return True
    named = identity.parts(device)
    return hmac.compare_digest(of(named["product_key"], named["serial"], version(product)), code or "")


def version(product: items.Product) -> int:
    """Return the version of a product's claim codes."""
    return product.get("claim_version", FIRST_VERSION)


def setting_unchanged(product: items.Product) -> Condition:
    """Condition: a product's claim codes are required, and valid, as when it was read."""
    return every(
        [_same("claim_codes", product.get("claim_codes")), _same("claim_version", product.get("claim_version"))]
    ).raises(Reason.BINDING_FAILED)


def _same(name: str, read: bool | int | None) -> Condition:
    return absent(name) if read is None else equals(name, read)
