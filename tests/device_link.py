"""The WebSocket API in tests: devices connect, send messages and read what they are sent."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bindery.aws import links
from bindery.aws.errors import ServiceError
from bindery.core import clock
from tests import calls
from tools import template

SOURCE_IP = "203.0.113.77"

_numbers = count(1)


class Gateway:
    """Client of the management API that keeps what devices are sent."""

    def __init__(self) -> None:
        self.open: dict[str, Connection] = {}

    def connect(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Answer a call of the management API."""
        calls.managed("POST" if operation == "PostToConnection" else "DELETE")
        connection = self.open.get(request["ConnectionId"])
        if connection is None:
            raise ServiceError("GoneException", 410, {})
        if operation == "DeleteConnection":
            connection.end()
        else:
            connection.received.append(json.loads(request["Data"]))
        return {}


@dataclass
class Connection:
    """A device's open connection."""

    id: str
    context: dict[str, Any]
    received: list[dict[str, Any]] = field(default_factory=list)

    def send(self, message: Any, *, at: int | None = None) -> None:
        """Send a message, or text, that API Gateway gets at a time."""
        body = message if isinstance(message, str) else json.dumps(message)
        context = self._context("$default", "MESSAGE") | {"requestTimeEpoch": at or clock.now()}
        event = {"requestContext": context, "body": body, "isBase64Encoded": False}
        assert _invoke("$default", event) == {"statusCode": 200}

    def hello(self) -> dict[str, Any]:
        """Send the first message, and return the last that the device was sent."""
        self.send({"type": "hello", "v": 1, "services": ["http"]})
        return self.received[-1]

    def end(self) -> None:
        """End the connection."""
        if gateway().open.pop(self.id, None) is not None:
            self.tell_end()

    def tell_end(self) -> None:
        """Deliver `$disconnect`, which API Gateway may do late."""
        context = self._context("$disconnect", "DISCONNECT") | {"disconnectStatusCode": 1006, "disconnectReason": ""}
        assert _invoke("$disconnect", {"requestContext": context, "isBase64Encoded": False}) == {"statusCode": 200}

    @property
    def is_open(self) -> bool:
        return self.id in gateway().open

    def _context(self, route: str, kind: str) -> dict[str, Any]:
        return self.context | {"routeKey": route, "eventType": kind, "requestId": f"message-{next(_numbers)}"}


def gateway() -> Gateway:
    """Return the gateway of the test."""
    found: Any = links.client()
    assert isinstance(found, Gateway)
    return found


def connect(
    credential: str,
    *,
    source_ip: str = SOURCE_IP,
    agent: str = "bindery-agent/1",
    headers: dict[str, str] | None = None,
    identity: str | None = None,
) -> Connection | None:
    """Connect a device, or return None if it is refused. `headers` replace those with the credential and agent."""
    number = next(_numbers)
    identity = identity or f"connection-{number}="
    gateway().open.pop(identity, None)
    arn = "arn:aws:execute-api:eu-central-1:123456789012:link/link/$connect"
    context: dict[str, Any] = {
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "messageDirection": "IN",
        "connectionId": identity,
        "connectedAt": clock.now(),
        "requestId": f"connect-{number}",
        "stage": "link",
        "identity": {"sourceIp": source_ip, "userAgent": agent},
    }
    sent = headers or {"Authorization": f"Bearer {credential}", "User-Agent": agent}
    decided = _invoke("authorizer", {"type": "REQUEST", "methodArn": arn, "headers": sent, "requestContext": context})
    ((statement),) = decided["policyDocument"]["Statement"]
    assert statement["Resource"] == arn
    if statement["Effect"] == "Deny":
        assert "context" not in decided
        return None
    assert all(isinstance(value, str) for value in decided["context"].values())
    authorizer = {"principalId": decided["principalId"], **decided["context"]}
    connection = Connection(identity, context | {"authorizer": authorizer})
    gateway().open[identity] = connection
    return connection


def connected(credential: str, **given: Any) -> Connection:
    """Connect a device, which must succeed."""
    connection = connect(credential, **given)
    assert connection is not None
    return connection


def _invoke(route: str, event: dict[str, Any]) -> dict[str, Any]:
    function = template.link()[route]
    with calls.recording(function.name) as invocation:
        answer: dict[str, Any] = function.load()(event, None)
    limit = calls.MORE_ROUND_TRIPS.get(function.name, calls.ROUND_TRIPS)
    assert len(invocation.dynamodb) <= limit, invocation.dynamodb
    return answer
