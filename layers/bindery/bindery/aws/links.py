"""Messages to connected devices, through the management API of the WebSocket API."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from bindery.aws import clients
from bindery.aws.errors import ServiceError
from bindery.core.errors import Reason, Refused


class Busy(Refused):
    """Messages are sent faster than API Gateway or the device takes them."""


@cache
def client() -> clients.Client:
    """Return the client, created at the first call."""
    return clients.client("apigatewaymanagementapi")


def send(connection: str, message: Mapping[str, Any]) -> bool:
    """Send a message. Return False if the connection does not exist. Raises `UNAVAILABLE`, if possible as `Busy`."""
    return _call("PostToConnection", ConnectionId=connection, Data=json.dumps(message).encode())


def close(connection: str) -> bool:
    """Close a connection. Return False if it does not exist. Raises `UNAVAILABLE`."""
    return _call("DeleteConnection", ConnectionId=connection)


def _call(operation: str, **request: Any) -> bool:
    try:
        clients.call(client(), Reason.UNAVAILABLE, operation, **request)
    except ServiceError as error:
        if error.code != "GoneException":
            raise
        return False
    except Refused as refused:
        if refused.__cause__ is not None and clients.code(refused.__cause__) == "LimitExceededException":
            raise Busy(Reason.UNAVAILABLE) from refused
        raise
    return True
