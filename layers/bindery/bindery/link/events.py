"""Events of the WebSocket API, and the log line of each."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, TypeVar

from bindery.connectivity.device_connections import Link
from bindery.core.errors import Reason, Refused
from bindery.http import emf
from bindery.http.operation import logger

Event = Mapping[str, Any]
Result = TypeVar("Result")


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


def handle(name: str, event: Event, rule: Callable[[], Result], refused: Callable[[Reason], Result]) -> Result:
    """Return what a rule returns, or else what `refused` returns for its reason. Logs one line.

    Raises `UNAVAILABLE` and any other exception: API Gateway then reports an internal error.
    """
    started = perf_counter()
    reason: Reason | None = None
    try:
        result = rule()
    except Refused as error:
        reason = error.reason
        if reason is Reason.UNAVAILABLE:
            logger.warning("a device could not be served", extra={"request_id": _request_id(event), "reason": reason})
            raise
        result = refused(reason)
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
