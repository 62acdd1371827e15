"""Connections of document 003: permission to reach a device for a time."""

import os
import time
from typing import Any, NamedTuple, Self

import httpx

from tools.cli.client import LOOPBACK, Exit, Failure

CONNECT = "/apv/v27/device/connect"
STOP = "/apv/v27/device/connect/stop"
VARIABLES = ("REMOTEIT_TOKEN", "REMOTEIT_DEVELOPER_KEY")

_BY_STATUS = {401: Exit.FORBIDDEN, 403: Exit.FORBIDDEN, 404: Exit.NOT_FOUND, 429: Exit.UNAVAILABLE}


class Lease(NamedTuple):
    """Permission to reach the device at a service address."""

    address: str
    credential: str
    """Label and id."""
    expires_at: float
    """Unix time."""

    @property
    def id(self) -> str:
        """Id of the connection."""
        return self.credential.partition(".")[2]

    @classmethod
    def from_json(cls, connection: dict[str, Any]) -> Self:
        """Return the lease in a response. Raises `LookupError`, `TypeError` or `ValueError`."""
        server, _, _ = connection["proxyserver"].partition(".")
        # Without a label, the connection is at a port of the relay host.
        label = server if server.startswith("proxy") else f"port#{connection['proxyport']}"
        ends = time.time() + int(connection["expirationsec"])
        return cls(connection["deviceaddress"], f"{label}.{connection['connectionid']}", ends)


class Api:
    """Client of document 003's API, with the credentials of the environment."""

    def __init__(self, endpoint: str) -> None:
        """Read the credentials. Raises `Failure`."""
        self._endpoint = endpoint
        missing = [name for name in VARIABLES if not os.environ.get(name)]
        if missing:
            names = " and ".join(missing)
            verb = "is" if len(missing) == 1 else "are"
            raise Failure(
                Exit.USAGE, f"{names} {verb} not set. For the demo credentials of a local server: . .local/demo.env"
            )
        token, key = (os.environ[name] for name in VARIABLES)
        self._headers = {"token": token, "developerkey": key}

    def connect(self, address: str) -> Lease:
        """Open a connection, which ends the caller's earlier one to the device. Raises `Failure`."""
        answer = self._post(CONNECT, {"deviceaddress": address, "wait": "true"})
        try:
            return Lease.from_json(answer["connection"])
        except (LookupError, TypeError, ValueError):
            raise Failure(Exit.UNAVAILABLE, f"{self._endpoint} did not return a connection") from None

    def stop(self, lease: Lease) -> None:
        """End a connection. Raises `Failure`."""
        self._post(STOP, {"deviceaddress": lease.address, "connectionid": lease.id})

    def _post(self, path: str, body: dict[str, str]) -> Any:
        url = self._endpoint + path
        here = httpx.URL(url).host in LOOPBACK
        try:
            # Requests to a local server must not go through a proxy.
            with httpx.Client(timeout=30, trust_env=not here) as http:
                answer = http.post(url, json=body, headers=self._headers)
            content = answer.json()
        except httpx.TransportError as error:
            raise Failure(Exit.UNAVAILABLE, f"cannot reach {self._endpoint}: {error or repr(error)}") from None
        except ValueError:
            raise Failure(
                Exit.UNAVAILABLE, f"{self._endpoint} did not return JSON. Is it a Bindery endpoint?"
            ) from None
        if answer.is_success:
            return content
        reason = content.get("reason") if isinstance(content, dict) else None
        code = Exit.UNAVAILABLE if answer.status_code >= 500 else _BY_STATUS.get(answer.status_code, Exit.REFUSED)
        raise Failure(code, f"{reason or 'refused'} (HTTP {answer.status_code})")
