"""Signatures of deliveries, as in Standard Webhooks 1.0.0 (symmetric, version 1)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
"""Prefix of a secret in base64."""

_SECRET_BYTES = 24


def new_secret() -> str:
    """Return a random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(signing: Sequence[str], message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, signed with each secret. `timestamp` is in seconds."""
    signed = f"{message}.{timestamp}.".encode() + body
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in signing),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
