"""Format of the rufus API (document 000)."""

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import api_keys
from bindery.directory.api_keys import ApiKey, Kind
from bindery.http.messages import RETRY_AFTER, RETRY_LATER, Access, Answer, Call, ErrorRow, Flaw, Problem, Reply, named
from bindery.rufus.company_devices import CompanyDevice

REFUSALS = {
    Reason.PARAMETER_MISSING: ErrorRow(400, 400, "Missing required parameter: {parameters}"),
    Reason.INVALID: ErrorRow(400, 400, "Invalid parameter: {parameters}"),
    Reason.MALFORMED: ErrorRow(400, 400, "Malformed request body: a JSON object is expected"),
    Reason.KEY_MISSING: ErrorRow(403, 403, "Missing api key"),
    Reason.KEY_UNKNOWN: ErrorRow(403, 403, "Invalid api key"),
    Reason.KEY_THROTTLED: ErrorRow(403, 403, "Invalid api key", RETRY_LATER),
    Reason.ACCESS_DENIED: ErrorRow(403, 403, "Wrong api key access type"),
    Reason.RATE_EXCEEDED: ErrorRow(429, 429, "Rate limit exceeded", RETRY_LATER),
    Reason.DEVICE_BANNED: ErrorRow(403, 403, "Device banned"),
    Reason.DEVICE_UNKNOWN: ErrorRow(404, 404, "Device not found"),
    Reason.NOT_FOUND: ErrorRow(404, 404, "Session not found or closed"),
    Reason.NO_ROUTE: ErrorRow(404, 404, "Not found"),
    Reason.METHOD_NOT_ALLOWED: ErrorRow(405, 405, "Method not allowed"),
    Reason.INTERNAL: ErrorRow(500, 500, "Internal server error"),
    Reason.UNAVAILABLE: ErrorRow(503, 503, "Service unavailable, try again", RETRY_AFTER),
    Reason.CONFLICT: ErrorRow(503, 503, "Service unavailable, try again", RETRY_AFTER),
}
CREDENTIALS = frozenset(
    {Reason.KEY_MISSING, Reason.KEY_UNKNOWN, Reason.KEY_THROTTLED, Reason.RATE_EXCEEDED, Reason.ACCESS_DENIED}
)

ANSWER_LIMIT = 6_000_000
"""Bytes, escaped as a JSON string: Lambda returns up to 6 MB."""

_REQUIRED = frozenset({"model", "serial_number", "deviceid", "token_session"})
_DEVICE_ID = re.compile(r"[0-9A-Fa-f]{64}")


def _upper_case(value: str) -> str:
    text = value.strip()
    return text.upper() if _DEVICE_ID.fullmatch(text) else text.encode(errors="replace").decode()


DeviceId = Annotated[str, BeforeValidator(_upper_case)]
"""An invalid one matches no device."""


class ErrorBody(BaseModel):
    """An error response."""

    model_config = ConfigDict(defer_build=True)

    description: str
    deviceid: str | None = Field(None, exclude_if=lambda deviceid: deviceid is None)


class Success(Reply):
    """Success (200)."""

    description: str = "Success"


class Created(Reply):
    """Created (201)."""

    status = 201
    description: str


class Device(BaseModel):
    """A device. Facts that were never specified are null."""

    model_config = ConfigDict(defer_build=True)

    deviceid: str
    type: str | None
    model: str
    alias: str | None
    firmware: str | None
    serial_number: str
    creation_date: str
    sessions: int

    @classmethod
    def of(cls, device: CompanyDevice) -> Self:
        """Return a device in this API's format."""
        return cls(
            deviceid=device.device_id,
            type=device.kind,
            model=device.model,
            alias=device.alias,
            firmware=device.firmware,
            serial_number=device.serial,
            creation_date=clock.iso(device.bound_at),
            sessions=device.sessions,
        )


def written(milliseconds: int) -> str:
    """Format a time."""
    return clock.iso(milliseconds)


def authenticate(call: Call, access: Access) -> ApiKey:
    """Return the API key.

    Raises `KEY_MISSING`, `KEY_UNKNOWN`, `KEY_THROTTLED`, `RATE_EXCEEDED` and `ACCESS_DENIED`.
    """
    credential = call.header("api_key", "x-api-key")
    if credential is None:
        raise Refused(Reason.KEY_MISSING)
    key = api_keys.authenticate(dynamodb.get(api_keys.presented(credential)), Kind.RUFUS, call.source_ip)
    if not key.allows(access):
        raise Refused(Reason.ACCESS_DENIED)
    return key


def invalid(problems: Sequence[Problem], caller: ApiKey) -> Refused:
    """Return the refusal. A required parameter that is not text counts as missing."""
    absent = [
        Problem(problem.parameter, Flaw.MISSING)
        if problem.flaw is Flaw.WRONG_TYPE and problem.parameter in _REQUIRED
        else problem
        for problem in problems
    ]
    return named(absent)


def success(reply: Reply, call: Call) -> Answer:
    """Return the reply's members. Raises `INVALID` beyond `ANSWER_LIMIT`."""
    body = reply.model_dump_json()
    if len(body.encode()) + body.count('"') + body.count("\\") > ANSWER_LIMIT:
        raise Refused(Reason.INVALID, parameters="limit")
    return Answer(reply.status, body, reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """Return `{"description": …}`, and the refusal's `deviceid`."""
    row = REFUSALS[fault.reason]
    envelope = ErrorBody(description=row.text.format_map(fault.detail), deviceid=fault.detail.get("deviceid"))
    return Answer(row.status, envelope.model_dump_json(), row.headers_with(fault.detail))
