"""rufus: companies bind devices by API key (document 000, "Bind a new device")."""

from collections.abc import Sequence

from pydantic import BaseModel

from bindery import dynamo
from bindery.directory import keys
from bindery.directory.keys import ApiKey, Kind
from bindery.faults import Fault, Reason
from bindery.wire import RETRY_AFTER, Access, Answer, Call, Flaw, Problem, Refusal, Reply, named

REFUSALS = {
    Reason.PARAMETER_MISSING: Refusal(400, 400, "Missing required parameter: {parameters}"),
    Reason.INVALID: Refusal(400, 400, "Invalid parameter: {parameters}"),
    Reason.MALFORMED: Refusal(400, 400, "Malformed request body: a JSON object is expected"),
    Reason.KEY_MISSING: Refusal(403, 403, "Missing api key"),
    Reason.KEY_UNKNOWN: Refusal(403, 403, "Invalid api key"),
    Reason.ACCESS_DENIED: Refusal(403, 403, "Wrong api key access type"),
    Reason.DEVICE_BANNED: Refusal(403, 403, "Device banned"),
    Reason.NO_ROUTE: Refusal(404, 404, "Not found"),
    Reason.METHOD_NOT_ALLOWED: Refusal(405, 405, "Method not allowed"),
    Reason.INTERNAL: Refusal(500, 500, "Internal server error"),
    Reason.UNAVAILABLE: Refusal(503, 503, "Service unavailable, try again", RETRY_AFTER),
}
CREDENTIALS = frozenset({Reason.KEY_MISSING, Reason.KEY_UNKNOWN, Reason.ACCESS_DENIED})

_REQUIRED = frozenset({"model", "serial_number"})


class Refused(BaseModel):
    """The envelope of every refusal."""

    description: str


class Created(Reply):
    """An answer of 201."""

    status = 201
    description: str


def authenticate(call: Call, access: Access) -> ApiKey:
    """The API key in the header `api_key`, or `x-api-key` as it was named later."""
    credential = call.header("api_key", "x-api-key")
    if credential is None:
        raise Fault(Reason.KEY_MISSING)
    key = keys.check(dynamo.get(keys.presented(credential)), Kind.RUFUS)
    if not key.allows(access):
        raise Fault(Reason.ACCESS_DENIED)
    return key


def invalid(problems: Sequence[Problem], caller: ApiKey) -> Fault:
    """A body that is none, else the required parameters that are missing or no text, else the others, all by name."""
    absent = [
        Problem(problem.parameter, Flaw.MISSING)
        if problem.flaw is Flaw.WRONG_TYPE and problem.parameter in _REQUIRED
        else problem
        for problem in problems
    ]
    return named(absent)


def success(reply: Reply, call: Call) -> Answer:
    """The reply's own members."""
    return Answer(reply.status, reply.model_dump_json(), reply.headers())


def failure(fault: Fault, call: Call) -> Answer:
    """`{"description": …}`."""
    refusal = REFUSALS[fault.reason]
    envelope = Refused(description=refusal.text.format_map(fault.detail))
    return Answer(refusal.status, envelope.model_dump_json(), refusal.headers)
