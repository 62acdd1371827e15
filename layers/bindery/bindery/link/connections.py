"""Beginning and end of connections: devices' and tunnels'."""

from collections.abc import Mapping
from typing import Any

from bindery.connectivity import device_connections, device_credentials, tunnels
from bindery.core.errors import Reason
from bindery.link import events
from bindery.link.events import Event

_SCHEME = "bearer "
_AGENT_LENGTH = 128
_SESSION = "bindery-session"
"""Header with a tunnel's session."""


def authorize(event: Event) -> dict[str, Any]:
    """Return the decision on a connection, and the context of its later events."""
    context = event["requestContext"]
    headers = {name.lower(): value for name, value in event["headers"].items()}
    given = headers.get("authorization", "").strip()
    credential = given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else given

    def allow() -> dict[str, Any]:
        connect = _connect_tunnel if tunnels.is_credential(credential) else _connect_device
        known = connect(credential, headers, context["connectionId"], context["identity"]["sourceIp"])
        return _decision(event, "Allow") | {"context": known}

    def deny(_: Reason) -> dict[str, Any]:
        return _decision(event, "Deny")

    return events.handle("link.authorize", event, allow, deny)


def _connect_tunnel(credential: str, headers: Mapping[str, str], connection: str, source_ip: str) -> dict[str, str]:
    tunnel = tunnels.connect(credential, headers.get(_SESSION, ""), connection, source_ip)
    known = tunnel._asdict() | {"per_user": "true" if tunnel.per_user else "false", "ends": str(tunnel.ends)}
    # API Gateway itself adds it to each event.
    del known["connection"]
    return known


def _connect_device(credential: str, headers: Mapping[str, str], connection: str, source_ip: str) -> dict[str, str]:
    agent = headers.get("user-agent", "")[:_AGENT_LENGTH]
    made = device_credentials.connect(credential, connection, source_ip, agent)
    # If there are two agents, the other one waits. Otherwise they would replace each other endlessly.
    device_connections.disconnect(made.replaced, "replaced")
    return {name: getattr(made, name) for name in ("device", "binding", "sort_key", "holder", "account")}


def _decision(event: Event, effect: str) -> dict[str, Any]:
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    return {"principalId": "device", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


def end(event: Event) -> dict[str, Any]:
    """Record that a connection has ended."""

    def ended() -> dict[str, Any]:
        # A tunnel's session stays: its client may connect again.
        if events.tunnel(event) is None:
            device_connections.end(events.link(event))
        return {"statusCode": 200}

    def kept(_: Reason) -> dict[str, Any]:
        return {"statusCode": 200}

    return events.handle("link.disconnect", event, ended, kept)
