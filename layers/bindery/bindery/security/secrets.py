"""Secrets from Secrets Manager, and values derived from them."""

import base64
import hashlib
import hmac
import uuid
from functools import cache

from bindery.aws import clients
from bindery.core import env
from bindery.core.errors import Reason


@cache
def _client() -> clients.Client:
    return clients.client("secretsmanager")


@cache
def secret(setting: str) -> bytes:
    """Return the secret that a setting names. Raises `UNAVAILABLE`."""
    # Cached here: importing Powertools' Parameters would add 19 ms to every cold start.
    answer = clients.call(_client(), Reason.UNAVAILABLE, "GetSecretValue", SecretId=env.read(setting))
    return bytes(answer["SecretString"].encode())


def session_secret(dialect: str) -> bytes:
    """Return the secret for session tokens."""
    return secret(f"{dialect.upper()}_SESSION_SECRET")


def derive(setting: str, *parts: str) -> bytes:
    """Return the HMAC-SHA-256 of framed parts."""
    return hmac.digest(secret(setting), framed(*parts), hashlib.sha256)


def framed(*parts: str) -> bytes:
    """Join length-prefixed parts."""
    # Without the lengths, different lists could give the same bytes.
    return b"".join(len(data := part.encode()).to_bytes(4, "big") + data for part in parts)


def fingerprint(credential: str) -> str:
    """Return the hex SHA-256 of a random credential."""
    return hashlib.sha256(credential.encode()).hexdigest()


def device_id(account: str, model: str, serial: str) -> str:
    """Return a rufus device's secret: 64 hex digits."""
    return derive("DEVICE_ID_SECRET", account, model, serial).hex().upper()


def auth_key(binding: str) -> str:
    """Return a quectel binding's `authKey`: 16 bytes in base64."""
    # The key ends with its binding: ids of bindings are never used again.
    return base64.b64encode(derive("BINDING_KEY_SECRET", binding)[:16]).decode()


def guid(uid: str) -> str:
    """Return a remoteit user's id: a UUID."""
    return str(uuid.UUID(bytes=derive("DIRECTORY_SECRET", "guid", uid)[:16], version=4)).upper()


def clear_cache() -> None:
    """Clear the cache, and close the connection."""
    secret.cache_clear()
    if _client.cache_info().currsize:
        _client().close()
    _client.cache_clear()
