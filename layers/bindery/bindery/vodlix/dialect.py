"""vodlix: players add themselves and ask whether they may (document 004, "Add Device"). Nobody has a credential."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.http.messages import RETRY_AFTER, Access, Answer, Call, ErrorRow, Problem, Reply, named

REFUSALS = {
    Reason.PARAMETER_MISSING: ErrorRow(400, "missing_parameter", "Missing required parameters: {parameters}"),
    Reason.INVALID: ErrorRow(400, "invalid_parameter", "Invalid parameters: {parameters}"),
    Reason.MALFORMED: ErrorRow(400, "invalid_parameter", "Malformed request body: a JSON object or a form is expected"),
    Reason.DEVICE_UNKNOWN: ErrorRow(400, "device_not_found", "Device not found"),
    Reason.DEVICE_BANNED: ErrorRow(400, "device_banned", "Device is banned"),
    Reason.REGISTRATION_DISABLED: ErrorRow(400, "device_management_disabled", "Device management is disabled"),
    Reason.NO_ROUTE: ErrorRow(404, "not_found", "Not found"),
    Reason.METHOD_NOT_ALLOWED: ErrorRow(405, "method_not_allowed", "Method not allowed"),
    Reason.INTERNAL: ErrorRow(500, "internal_error", "Internal server error"),
    Reason.UNAVAILABLE: ErrorRow(503, "service_unavailable", "Service unavailable, try again", RETRY_AFTER),
    Reason.CONFLICT: ErrorRow(503, "service_unavailable", "Service unavailable, try again", RETRY_AFTER),
}
CREDENTIALS: frozenset[Reason] = frozenset()


class Head(BaseModel):
    """What every answer begins with."""

    status: int
    timestamp: int
    time: float
    ip: str
    message: str


class ErrorBody(Head):
    """The envelope of every refusal."""

    model_config = ConfigDict(defer_build=True)

    error_code: str | int
    data: tuple[()] = ()


class Player(BaseModel):
    """A player, under its address as sent; one that is answered so is known, and not banned."""

    mac_address: str
    status: int = 1
    ban_status: int = 0


class Known(Reply):
    """The player."""

    data: Player


def authenticate(call: Call, access: Access) -> str:
    """Anybody: all that is known of a caller is the IP address."""
    return call.source_ip


def invalid(problems: Sequence[Problem], caller: str) -> Refused:
    """A body that is none, else all the parameters that are missing, else all the others, by name."""
    return named(problems)


def success(reply: Reply, call: Call) -> Answer:
    """The head, then the reply's own members (`data`)."""
    head = Head(**_head(reply.status, "Success", call))
    return Answer(reply.status, to_json(head.model_dump() | reply.model_dump()).decode(), reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """The head, `error_code` and an empty list for `data`."""
    refusal = REFUSALS[fault.reason]
    head = _head(refusal.status, refusal.text.format_map(fault.detail), call)
    return Answer(refusal.status, ErrorBody(**head, error_code=refusal.code).model_dump_json(), refusal.headers)


def _head(status: int, message: str, call: Call) -> dict[str, Any]:
    return {
        "status": status,
        "timestamp": clock.seconds(),
        "time": round(call.elapsed(), 3),
        "ip": call.source_ip,
        "message": message,
    }
