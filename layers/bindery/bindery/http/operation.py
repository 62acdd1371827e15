"""The door: from an API Gateway event to an operation and back, the same way for every operation.

Find the caller, read the parameters, run, answer. What the answer looks like is the dialect's; that there is always
one, that it leaks nothing and that it leaves one log line is the door's.
"""

import base64
import json
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
"""Bytes of a decoded body; a longer one is malformed."""

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
"""The reasons that any operation may refuse for without declaring them."""

_UNREACHABLE = frozenset({Reason.UNAVAILABLE, Reason.LOOKUP_FAILED, Reason.SERIAL_LOOKUP_FAILED})
_FLAWS = {
    "missing": Flaw.MISSING,
    "string_type": Flaw.WRONG_TYPE,
    "string_too_long": Flaw.TOO_LONG,
    "enum": Flaw.UNKNOWN_VALUE,
    "literal_error": Flaw.UNKNOWN_VALUE,
}

logger = Logger(service="bindery", location=None, use_rfc3339=True, serialize_stacktrace=False)
# All of it is Bindery's: what says so would be a twentieth of the log.
logger.remove_keys(["service"])

Caller = TypeVar("Caller")
Asked = TypeVar("Asked", bound=Request)
Contra = TypeVar("Contra", bound=Request, contravariant=True)


class Dialect(Protocol[Caller]):
    """What every module called `dialect` is: mostly tables, and four functions around them.

    Where callers have no session yet, it is a class in such a module (`Login`).
    """

    @property
    def REFUSALS(self) -> Mapping[Reason, ErrorRow]:
        """What each reason becomes on this dialect's wire."""

    @property
    def CREDENTIALS(self) -> frozenset[Reason]:
        """The reasons that `authenticate` and its caller's confirmation refuse for."""

    def authenticate(self, call: Call, access: Access) -> Caller:
        """Who calls, if they may do this. Raises one of `CREDENTIALS`."""

    def invalid(self, problems: Sequence[Problem], caller: Caller) -> Refused:
        """What these problems (at least one) come to in this dialect's order of checks."""

    def success(self, reply: Reply, call: Call) -> Answer:
        """The reply in the dialect's envelope."""

    def failure(self, fault: Refused, call: Call) -> Answer:
        """The row of `REFUSALS` for a fault in the dialect's envelope."""


class Operation(Generic[Asked, Caller]):
    """One documented operation: what AWS Lambda calls, and what the tools read of it."""

    def __init__(
        self,
        dialect: Dialect[Caller],
        access: Access,
        refuses: frozenset[Reason],
        function: Callable[[Asked, Caller], Reply],
    ) -> None:
        hints = get_type_hints(function)
        self.dialect = dialect
        self.access = access
        self.refuses = refuses | dialect.CREDENTIALS | ALWAYS
        self.function = function
        self.request: type[Asked] = hints["request"]
        self.replies: tuple[type[Reply], ...] = get_args(hints["return"]) or (hints["return"],)
        self.name = function.__module__.removeprefix("functions.")
        self.__doc__ = function.__doc__
        # Of all models these are built now, once; one that only a refusal needs is built by the first refusal.
        for model in (self.request, *self.replies):
            model.model_rebuild()

    def __call__(self, event: Mapping[str, Any], context: object) -> dict[str, Any]:
        """Answer one API Gateway event (payload 2.0)."""
        call = Call(event)
        reason: Reason | None = None
        try:
            answer = self._answer(call)
        except Refused as fault:
            reason = fault.reason
            if isinstance(fault, HotKey):
                logger.warning(
                    "a key range is throttled", extra={"request_id": call.request_id, "throttled": fault.throttled}
                )
            elif reason in _UNREACHABLE:
                logger.exception("a service could not be reached", extra={"request_id": call.request_id})
            elif reason is Reason.INTERNAL:
                logger.exception("internal error", extra={"request_id": call.request_id})
            answer = self.dialect.failure(fault, call)
        except Exception:
            # The last resort of every request: whatever broke, the caller gets the dialect's own answer.
            logger.exception("internal error", extra={"request_id": call.request_id})
            reason = Reason.INTERNAL
            answer = self.dialect.failure(Refused(reason), call)
        return respond(answer, call, self.name, reason)

    def _answer(self, call: Call) -> Answer:
        try:
            caller = self.dialect.authenticate(call, self.access)
            try:
                request = read(self.request, call)
            except Invalid as invalid:
                raise self.dialect.invalid(invalid.problems, caller) from None
            return self.dialect.success(self.function(request, caller), call)
        except Refused as fault:
            if fault.reason not in self.refuses:
                raise RuntimeError(f"{self.name} does not declare the reason {fault.reason}") from fault
            raise


def operation(
    dialect: Dialect[Caller], access: Access, refuses: Sequence[Reason] = ()
) -> Callable[[Callable[[Asked, Caller], Reply]], Operation[Asked, Caller]]:
    """Make a function `(request, caller) -> reply` the handler of one operation.

    `refuses` names every reason it may refuse for beside its dialect's `CREDENTIALS` and the door's `ALWAYS`; a fault
    with any other reason is answered and logged as an error of ours.
    """
    return lambda function: Operation(dialect, access, frozenset(refuses), function)


def respond(answer: Answer, call: Call, name: str, reason: Reason | None) -> dict[str, Any]:
    """The Lambda response of an answer, and the request's one line in the log."""
    logger.info(
        name,
        extra={
            "request_id": call.request_id,
            "status": answer.status,
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
    """The parameters are not what the operation's request model takes."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


def read(model: type[Asked], call: Call) -> Asked:
    """The call's parameters as `model` declares them. Raises `Invalid` with every problem they have."""
    match model.source:
        case "body":
            given = parse(body(call))
        case "form":
            given = _parse_form(call)
        case "query":
            given = _parse_query(call.event.get("rawQueryString", ""))
        case "path":
            given = {}
    try:
        return model.model_validate(given | (call.event.get("pathParameters") or {}))
    except ValidationError as error:
        raise Invalid(*_problems(error)) from None


def _problems(error: ValidationError) -> dict[Problem, None]:
    """Each problem once, in the order of the model's fields."""
    found: dict[Problem, None] = {}
    for detail in error.errors(include_url=False):
        flaw = Flaw.MISSING if detail["input"] is None else _FLAWS.get(detail["type"], Flaw.INVALID)
        note = detail.get("ctx", {}).get("character", "")
        found[Problem(str(detail["loc"][0]) if detail["loc"] else "", flaw, note)] = None
    return found


def _malformed() -> Invalid:
    return Invalid(Problem("", Flaw.MALFORMED))


def body(call: Call, limit: int = BODY_LIMIT) -> bytes:
    """The decoded body, of `limit` bytes at most. Raises `Invalid`: malformed."""
    text: str = call.event.get("body") or ""
    try:
        decoded = base64.b64decode(text, validate=True) if call.event.get("isBase64Encoded") else text.encode()
    except ValueError as error:
        raise _malformed() from error
    if len(decoded) > limit:
        raise _malformed()
    return decoded


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def parse(text: bytes, number: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """A JSON object. With `number`, its numbers are made by that from their text. Raises `Invalid`: malformed."""
    try:
        parsed = json.loads(text.decode(), parse_float=number, parse_int=number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _malformed() from error
    if not isinstance(parsed, dict):
        raise _malformed()
    return parsed


def _parse_query(raw: str) -> dict[str, Any]:
    """Query parameters, URL-encoded; what is no UTF-8 becomes text that no field accepts."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, errors="surrogateescape"):
        found.setdefault(name, []).append(value)
    return _single(found)


def _parse_form(call: Call) -> dict[str, Any]:
    """A form if the body is one; JSON is told by its brace, because clients send it under any Content-Type."""
    given = body(call)
    kind = call.header("content-type") or ""
    if not given.lstrip().startswith(b"{"):
        if kind.lower().startswith("application/x-www-form-urlencoded"):
            return _parse_query(given.decode("utf-8", "surrogateescape"))
        if kind.lower().startswith("multipart/form-data"):
            return _parse_multipart(kind, given)
    return parse(given, number=str)


def _parse_multipart(kind: str, body: bytes) -> dict[str, Any]:
    # Imported here: only this path needs it.
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
        # What the standard library's parser raises for parameters of a header that are not as they must be.
        raise _malformed() from error
    return _single(found)


def _single(found: Mapping[str, list[str]]) -> dict[str, Any]:
    """What was given once as it is; what was given more than once as a list, which no field takes for a text."""
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
