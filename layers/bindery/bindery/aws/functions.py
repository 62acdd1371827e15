"""Invocations of the stack's own functions."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from bindery.aws import clients
from bindery.core import env
from bindery.core.errors import Reason


@cache
def client() -> clients.Client:
    """Return the client, created at the first call."""
    return clients.client("lambda")


def invoke(operation: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation's response to an event. Raises `UNAVAILABLE`, and `RuntimeError` if its function failed."""
    answer = _call(operation, event)
    if answer.get("FunctionError"):
        # Not its payload, which may contain private data.
        raise RuntimeError(f"{operation} failed")
    response: dict[str, Any] = json.loads(answer["Payload"].read())
    return response


def start(operation: str, event: Mapping[str, Any]) -> None:
    """Invoke an operation without waiting for it. Raises `UNAVAILABLE`."""
    _call(operation, event, InvocationType="Event")


def _call(operation: str, event: Mapping[str, Any], **more: str) -> dict[str, Any]:
    return clients.call(
        client(),
        Reason.UNAVAILABLE,
        "Invoke",
        FunctionName=env.read("FUNCTION_PREFIX") + operation.replace(".", "-"),
        Qualifier="live",
        Payload=json.dumps(event).encode(),
        **more,
    )
