"""Request handling: authenticate, parse, run the operation, respond in the dialect's format.

Responses reveal nothing internal, and each request logs one line.
"""

import base64
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, cast, get_args, get_type_hints
from urllib.parse import parse_qsl

from aws_lambda_powertools.logging import Logger
from pydantic import ValidationError

from bindery.core.errors import HotKey, Reason, Refused
from bindery.http import emf
from bindery.http.messages import Access, Answer, Call, ErrorRow, Flaw, Problem, Reply, Request

if TYPE_CHECKING:
    from email.message import Message

BODY_LIMIT = 16 * 1024
"""Bytes, decoded."""

ALWAYS = frozenset(
    {
        Reason.INTERNAL,
        Reason.UNAVAILABLE,
        Reason.CONFLICT,
        Reason.MALFORMED,
        Reason.INVALID,
        Reason.PARAMETER_MISSING,
    }
)
"""Reasons that operations need not declare."""

_UNREACHABLE = frozenset({Reason.UNAVAILABLE, Reason.LOOKUP_FAILED, Reason.SERIAL_LOOKUP_FAILED})
_FLAWS = {
    "missing": Flaw.MISSING,
    "string_type": Flaw.WRONG_TYPE,
    "string_too_long": Flaw.TOO_LONG,
    "enum": Flaw.UNKNOWN_VALUE,
    "literal_error": Flaw.UNKNOWN_VALUE,
}

logger = Logger(service="bindery", location=None, use_rfc3339=True, serialize_stacktrace=False)
# Drop `service`: it is constant and 5 % of each line.
logger.remove_keys(["service"])

Caller = TypeVar("Caller")
Parameters = TypeVar("Parameters", bound=Request)


class Dialect(Protocol[Caller]):
    """Interface of `dialect` modules and their `Login` classes."""

    @property
    def REFUSALS(self) -> Mapping[Reason, ErrorRow]:
        """Response for each reason."""

    @property
    def CREDENTIALS(self) -> frozenset[Reason]:
        """Reasons for which credentials are refused."""

    def authenticate(self, call: Call, access: Access, /) -> Caller:
        """Return the caller, or raise one of `CREDENTIALS`."""

    def invalid(self, problems: Sequence[Problem], caller: Caller, /) -> Refused:
        """Return the refusal, in the API's order of checks."""

    def success(self, reply: Reply, call: Call, /) -> Answer:
        """Return the response for a reply."""

    def failure(self, refused: Refused, call: Call, /) -> Answer:
        """Return the response for a refusal."""


class Operation(Generic[Parameters, Caller]):
    """Lambda handler of a documented operation."""

    def __init__(
        self,
        dialect: Dialect[Caller],
        access: Access,
        refuses: frozenset[Reason],
        function: Callable[[Parameters, Caller], Reply],
    ) -> None:
        hints = get_type_hints(function)
        self.dialect = dialect
        self.access = access
        self.refuses = refuses | dialect.CREDENTIALS | ALWAYS
        self.function = function
        self.request: type[Parameters] = hints["request"]
        self.replies: tuple[type[Reply], ...] = get_args(hints["return"]) or (hints["return"],)
        self.name = function.__module__.removeprefix("functions.")
        self.__doc__ = function.__doc__
        # Build these models in the init phase. The first refusal builds those that only refusals need.
        for model in (self.request, *self.replies):
            model.model_rebuild()

    def __call__(self, event: Mapping[str, Any], context: object) -> dict[str, Any]:
        """Handle an API Gateway event."""
        call = Call(event)
        reason: Reason | None = None
        try:
            answer = self._answer(call)
        except Refused as refused:
            reason = refused.reason
            if isinstance(refused, HotKey):
                logger.warning(
                    "a key range is throttled", extra={"request_id": call.request_id, "throttled": refused.throttled}
                )
            elif reason in _UNREACHABLE:
                logger.exception("a service could not be reached", extra={"request_id": call.request_id})
            elif reason is Reason.INTERNAL:
                logger.exception("internal error", extra={"request_id": call.request_id})
            answer = self.dialect.failure(refused, call)
        except Exception:
            # Whatever failed, the caller gets a response in the API's format.
            logger.exception("internal error", extra={"request_id": call.request_id})
            reason = Reason.INTERNAL
            answer = self.dialect.failure(Refused(reason), call)
        return respond(answer, call, self.name, reason)

    def _answer(self, call: Call) -> Answer:
        try:
            caller = self.dialect.authenticate(call, self.access)
            try:
                request = parse_request(self.request, call)
            except Invalid as invalid:
                raise self.dialect.invalid(invalid.problems, caller) from None
            return self.dialect.success(self.function(request, caller), call)
        except Refused as refused:
            if refused.reason not in self.refuses:
                raise RuntimeError(f"{self.name} does not declare the reason {refused.reason}") from refused
            raise


def operation(
    dialect: Dialect[Caller], access: Access, refuses: Sequence[Reason] = ()
) -> Callable[[Callable[[Parameters, Caller], Reply]], Operation[Parameters, Caller]]:
    """Make a function `(request, caller) -> reply` an operation. An undeclared refusal is an internal error."""
    return lambda function: Operation(dialect, access, frozenset(refuses), function)


def respond(answer: Answer, call: Call, name: str, reason: Reason | None, **logged: str | None) -> dict[str, Any]:
    """Log the request and return its Lambda response."""
    logger.info(
        name,
        extra={
            "request_id": call.request_id,
            "status": answer.status,
            **logged,
            **emf.members(name, call.elapsed(), reason),
        },
    )
    content = {"Content-Type": "application/json"} if answer.body else {}
    return {
        "statusCode": answer.status,
        "headers": {**content, "x-request-id": call.request_id, **answer.headers},
        "body": answer.body,
    }


class Invalid(Exception):
    """Parameters that do not match the request model."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


def parse_request(model: type[Parameters], call: Call) -> Parameters:
    """Return the parameters. Raise `Invalid` with all problems."""
    match model.source:
        case "body":
            given = parse_object(body(call))
        case "form":
            given = _parse_form(call)
        case "query":
            given = _parse_query(call.event.get("rawQueryString", ""))
        case "query or form":
            query = _parse_query(call.event.get("rawQueryString", ""))
            given = query or (_parse_form(call) if call.event.get("body") else {})
        case "path":
            given = {}
    try:
        return model.model_validate(given | (call.event.get("pathParameters") or {}))
    except ValidationError as error:
        raise Invalid(*_problems(error)) from None


def _problems(error: ValidationError) -> dict[Problem, None]:
    # A dict, so that each problem is reported once, in the order of the model's fields.
    found: dict[Problem, None] = {}
    for detail in error.errors(include_url=False):
        flaw = Flaw.MISSING if detail["input"] is None else _FLAWS.get(detail["type"], Flaw.INVALID)
        note = detail.get("ctx", {}).get("character", "")
        found[Problem(str(detail["loc"][0]) if detail["loc"] else "", flaw, note)] = None
    return found


def _malformed() -> Invalid:
    return Invalid(Problem("", Flaw.MALFORMED))


def body(call: Call, limit: int = BODY_LIMIT) -> bytes:
    """Return the decoded body without a byte order mark. Raise `Invalid` if malformed or too long."""
    text: str = call.event.get("body") or ""
    try:
        decoded = base64.b64decode(text, validate=True) if call.event.get("isBase64Encoded") else text.encode()
    except ValueError as error:
        raise _malformed() from error
    if len(decoded) > limit:
        raise _malformed()
    # RFC 8259, section 8.1: a parser may ignore the mark. Some clients send it.
    return decoded.removeprefix(BOM_UTF8)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_object(text: bytes, number: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """Parse a JSON object. Raise `Invalid` if malformed."""
    try:
        parsed = json.loads(text.decode(), parse_float=number, parse_int=number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _malformed() from error
    if not isinstance(parsed, dict):
        raise _malformed()
    return parsed


def _parse_query(raw: str) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    # Bytes that are not UTF-8 become surrogates, which no field accepts.
    for name, value in parse_qsl(raw, keep_blank_values=True, errors="surrogateescape"):
        found.setdefault(name, []).append(value)
    return _single(found)


def _parse_form(call: Call) -> dict[str, Any]:
    given = body(call)
    kind = call.header("content-type") or ""
    # Clients send JSON with any Content-Type, so its brace identifies it.
    if not given.lstrip().startswith(b"{"):
        if kind.lower().startswith("application/x-www-form-urlencoded"):
            return _parse_query(given.decode("utf-8", "surrogateescape"))
        if kind.lower().startswith("multipart/form-data"):
            return _parse_multipart(kind, given)
    return parse_object(given, number=str)


def _parse_multipart(kind: str, body: bytes) -> dict[str, Any]:
    # Import it here: no other request needs it.
    from email import message_from_bytes

    found: dict[str, list[str]] = {}
    try:
        message = message_from_bytes(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + body)
        for part in cast("list[Message]", message.get_payload() if message.is_multipart() else []):
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                found.setdefault(name, []).append(content.decode("utf-8", "surrogateescape"))
    except (IndexError, TypeError, ValueError, RecursionError) as error:
        # The standard library's parser raises these for invalid parameters of a header.
        raise _malformed() from error
    return _single(found)


def _single(found: Mapping[str, list[str]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
