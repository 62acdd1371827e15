"""Events of the WebSocket API, and the log line of each."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, TypeVar

from bindery.connectivity.device_connections import Link
from bindery.connectivity.tunnels import Tunnel
from bindery.core.errors import HotKey, Reason, Refused
from bindery.http import emf
from bindery.http.operation import logger

Event = Mapping[str, Any]
Result = TypeVar("Result")

PASSED: dict[str, Any] = {"statusCode": 200}
"""Response to a message of a stream that was passed on. There are many, and each would cost a log line."""


def link(event: Event) -> Link:
    """Return the connection of an event after `$connect`."""
    context = event["requestContext"]
    known = context["authorizer"]
    return Link(
        context["connectionId"],
        known["device"],
        known["binding"],
        known["sort_key"],
        known["holder"],
        known["account"],
        int(context["connectedAt"]),
    )


def tunnel(event: Event) -> Tunnel | None:
    """Return the tunnel of an event after `$connect`, or None if a device is connected."""
    context = event["requestContext"]
    known = context["authorizer"]
    if "session" not in known:
        return None
    return Tunnel(
        context["connectionId"],
        known["device"],
        known["session"],
        known["lease"],
        known["caller"],
        known["account"],
        per_user=known["per_user"] == "true",
        ends=int(known["ends"]),
    )


def handle(name: str, event: Event, rule: Callable[[], Result], refused: Callable[[Reason], Result]) -> Result:
    """Return what a rule returns, or else what `refused` returns for its reason. Logs one line, except for `PASSED`.

    Raises `UNAVAILABLE` and any other exception: API Gateway then reports an internal error.
    """
    started = perf_counter()
    reason: Reason | None = None
    try:
        result = rule()
    except Refused as error:
        reason = error.reason
        request_id = _request_id(event)
        if isinstance(error, HotKey):
            logger.warning("a key range is throttled", extra={"request_id": request_id, "throttled": error.throttled})
        elif reason is Reason.UNAVAILABLE:
            logger.warning("a device could not be served", extra={"request_id": request_id, "reason": reason})
            raise
        result = refused(reason)
    if result is not PASSED:
        logger.info(
            name,
            extra={"request_id": _request_id(event), **emf.members(name, perf_counter() - started, reason)},
        )
    return result


def log_result(request_id: str, command: str, ok: bool) -> None:
    """Log the outcome of a command."""
    logger.info("a device answered a command", extra={"request_id": request_id, "command": command, "ok": ok})


def _request_id(event: Event) -> str:
    found: str = event["requestContext"]["requestId"]
    return found
