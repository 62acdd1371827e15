"""Credentials of a Lambda function: from its environment or, with SnapStart, from the runtime's endpoint."""

import json
import threading
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from bindery.aws import snapshots
from bindery.aws.connections import Connections
from bindery.aws.errors import ConnectionFailed
from bindery.core import clock, env

REFRESH = 600  # seconds before the end of credentials at which new ones are fetched

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})


class Credentials(NamedTuple):
    """An access key, and the token of a session."""

    access_key: str
    secret_key: str
    token: str | None = None


class _Fetched(NamedTuple):
    credentials: Credentials
    expires: float


_lock = threading.Lock()
_fetched: _Fetched | None = None


def find() -> Credentials:
    """Return valid credentials. Raises `ConnectionFailed` if the endpoint does not provide any."""
    # Not `env.read`, which remembers values.
    if (key := env.find("AWS_ACCESS_KEY_ID")) and (secret := env.find("AWS_SECRET_ACCESS_KEY")):
        return Credentials(key, secret, env.find("AWS_SESSION_TOKEN"))
    if (url := env.find("AWS_CONTAINER_CREDENTIALS_FULL_URI")) is None:
        raise RuntimeError(
            "no AWS credentials: neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
            " (AwsClient=botocore finds others)"
        )
    global _fetched
    with _lock:
        now = clock.seconds()
        if _fetched is None or now > _fetched.expires - REFRESH:
            try:
                _fetched = _fetch(url)
            except ConnectionFailed:
                # The previous credentials are valid for some minutes more.
                if _fetched is None or now >= _fetched.expires:
                    raise
        return _fetched.credentials


def clear_cache() -> None:
    """Clear the cache: the credentials of a snapshot may have expired."""
    global _fetched
    _fetched = None


def _fetch(url: str) -> _Fetched:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise RuntimeError(f"AWS_CONTAINER_CREDENTIALS_FULL_URI is not a local address: {url}")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {path or '/'} HTTP/1.1", f"host: {parts.netloc}", "accept: application/json", "connection: close"]
    if token := env.find("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        lines.append(f"authorization: {token}")
    connections = Connections(url)
    response = connections.exchange("\r\n".join([*lines, "", ""]).encode())
    connections.close()
    try:
        found = json.loads(response.body)
        credentials = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
        expires = datetime.fromisoformat(found["Expiration"]).timestamp()
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionFailed("no credentials") from error
    return _Fetched(credentials, expires)


snapshots.after_restore(clear_cache)
