"""The installation's secrets: fetched from Secrets Manager when first needed, and what is derived from them.

Secrets Manager is asked directly rather than through Powertools' Parameters: measured, the import alone costs 19 ms of
every cold start for a cache of one line.
"""

import base64
import hashlib
import hmac
import uuid
from functools import cache

from bindery.aws import clients
from bindery.core import env
from bindery.core.errors import Reason


@cache
def secret(setting: str) -> bytes:
    """The secret whose ARN or name stands in the setting `setting` (for example `DEVICE_ID_SECRET`).

    Kept for the life of the execution environment. Raises `UNAVAILABLE` when Secrets Manager cannot be reached.
    """
    client = clients.client("secretsmanager")
    answer = clients.call(Reason.UNAVAILABLE, client.get_secret_value, SecretId=env.read(setting))
    return bytes(answer["SecretString"].encode())


def session_secret(dialect: str) -> bytes:
    """The secret that signs and verifies a dialect's session tokens."""
    return secret(f"{dialect.upper()}_SESSION_SECRET")


def derive(setting: str, *parts: str) -> bytes:
    """HMAC-SHA-256 of `parts`, framed, under a secret."""
    return hmac.digest(secret(setting), framed(*parts), hashlib.sha256)


def framed(*parts: str) -> bytes:
    """Join parts, each preceded by its length, so that different lists never give the same bytes."""
    return b"".join(len(data := part.encode()).to_bytes(4, "big") + data for part in parts)


def fingerprint(credential: str) -> str:
    """What is stored of a random credential instead of itself: the hex SHA-256."""
    return hashlib.sha256(credential.encode()).hexdigest()


def device_id(account: str, model: str, serial: str) -> str:
    """rufus: the secret by which a device authenticates, 64 upper-case hex digits, derived and never stored."""
    return derive("DEVICE_ID_SECRET", account, model, serial).hex().upper()


def auth_key(binding: str) -> str:
    """quectel: a binding's `authKey`, base64 of 16 bytes, which ends with the binding whose id it is derived from."""
    return base64.b64encode(derive("BINDING_KEY_SECRET", binding)[:16]).decode()


def guid(uid: str) -> str:
    """remoteit: a user's id as the API writes ids, an upper-case UUID."""
    return str(uuid.UUID(bytes=derive("DIRECTORY_SECRET", "guid", uid)[:16], version=4)).upper()


def service_authhash(uid: str) -> str:
    """remoteit: what an application presents to the vendor's own services, 64 hex digits. Nothing here takes it."""
    return derive("DIRECTORY_SECRET", "service", uid).hex()


def clear_cache() -> None:
    """Forget the secrets fetched so far (for a process that outlives its secrets: tests, the local server)."""
    secret.cache_clear()
