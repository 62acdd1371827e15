"""Format of the vodlix API (document 004)."""

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
    """First members of every response."""

    status: int
    timestamp: int
    time: float
    ip: str
    message: str


class ErrorBody(Head):
    """An error response."""

    model_config = ConfigDict(defer_build=True)

    error_code: str
    data: tuple[()] = ()


class Device(BaseModel):
    """A device that exists and is not banned."""

    mac_address: str
    status: int = 1
    ban_status: int = 0


class Known(Reply):
    """The device."""

    data: Device


def authenticate(call: Call, access: Access) -> str:
    """Return the caller's IP address: there are no credentials."""
    return call.source_ip


def invalid(problems: Sequence[Problem], caller: str) -> Refused:
    """Return the refusal."""
    return named(problems)


def success(reply: Reply, call: Call) -> Answer:
    """Return the head and the reply's members."""
    head = Head(**_head(reply.status, "Success", call))
    return Answer(reply.status, to_json(head.model_dump() | reply.model_dump()).decode(), reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """Return the head, `error_code` and an empty `data`."""
    row = REFUSALS[fault.reason]
    head = _head(row.status, row.text.format_map(fault.detail), call)
    return Answer(row.status, ErrorBody(**head, error_code=str(row.code)).model_dump_json(), row.headers)


def _head(status: int, message: str, call: Call) -> dict[str, Any]:
    return {
        "status": status,
        "timestamp": clock.seconds(),
        "time": round(call.elapsed(), 3),
        "ip": call.source_ip,
        "message": message,
    }
