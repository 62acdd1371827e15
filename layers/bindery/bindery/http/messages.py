"""The words between the door and the dialects: a call, what it asks, what it is answered."""

from collections.abc import Mapping, Sequence
from enum import StrEnum, auto
from time import perf_counter
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from bindery.core.errors import Reason, Refused

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
RETRY_AFTER: Mapping[str, str] = {"Retry-After": "1"}
"""For refusals that a retry may turn into success."""


class Access(StrEnum):
    """What a caller wants to do; a dialect's `authenticate` says who may."""

    READ = auto()
    WRITE = auto()
    UNBIND = auto()


class Call:
    """One API Gateway HTTP API event (payload 2.0), as far as door and dialects look at it."""

    __slots__ = ("event", "headers", "request_id", "source_ip", "started")

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.started = perf_counter()
        self.event = event
        # Half of a surrogate pair is no text: it could be neither hashed nor logged.
        self.headers: dict[str, str] = {
            name.lower(): value.encode(errors="replace").decode()
            for name, value in (event.get("headers") or {}).items()
        }
        context = event["requestContext"]
        self.request_id: str = context["requestId"]
        self.source_ip: str = context["http"]["sourceIp"]

    def header(self, *names: str) -> str | None:
        """The first of these headers (lower case) that the call has, trimmed; blank counts as absent."""
        for name in names:
            if value := self.headers.get(name, "").strip():
                return value
        return None

    def elapsed(self) -> float:
        """Seconds since the call came in."""
        return perf_counter() - self.started


class Request(BaseModel):
    """What an operation asks. `source` says where its parameters stand; path parameters are added to any of them.

    Unknown fields are ignored and never stored.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)
    source: ClassVar[Literal["path", "query", "body", "form"]] = "path"
    """`form`: a JSON body, or a real form. Its JSON numbers and booleans are taken as their text."""


class Query(Request):
    """Parameters in the query string; one that is repeated arrives as a list, which no scalar field accepts."""

    source = "query"


class Body(Request):
    """Parameters in a JSON object, whatever the Content-Type says."""

    source = "body"


class Form(Request):
    """Parameters in a form or, whatever the Content-Type says, in a JSON object."""

    source = "form"

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_as_text(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value


class Reply(BaseModel):
    """What an operation answers when it succeeds; the dialect wraps it in its envelope."""

    model_config = ConfigDict(
        frozen=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True, defer_build=True
    )
    status: ClassVar[int] = 200

    def headers(self) -> dict[str, str]:
        """Response headers beside those that every answer has."""
        return {}


class Flaw(StrEnum):
    """What can be wrong with a parameter."""

    MALFORMED = auto()
    """The request as a whole: not UTF-8, not JSON, not an object, too large."""
    MISSING = auto()
    """Absent, null, empty or blank."""
    WRONG_TYPE = auto()
    """A JSON value of another type, or a query parameter given more than once."""
    TOO_LONG = auto()
    UNKNOWN_VALUE = auto()
    INVALID = auto()


class Problem(NamedTuple):
    """One parameter that is not as it must be, under its name on the wire ("" for the request as a whole)."""

    parameter: str
    flaw: Flaw
    note: str = ""
    """What it has that it must not have, such as `U+200B`."""


def named(problems: Sequence[Problem]) -> Refused:
    """A request that is malformed, else the parameters that are missing, else the others, by name (`{parameters}`)."""
    if any(problem.flaw is Flaw.MALFORMED for problem in problems):
        return Refused(Reason.MALFORMED)
    missing = [problem.parameter for problem in problems if problem.flaw is Flaw.MISSING]
    reason = Reason.PARAMETER_MISSING if missing else Reason.INVALID
    return Refused(reason, parameters=", ".join(missing or map(_noted, problems)))


def _noted(problem: Problem) -> str:
    return f"{problem.parameter} ({problem.note})" if problem.note else problem.parameter


class ErrorRow(NamedTuple):
    """One row of a dialect's table: what a reason becomes on its wire.

    `text` and the headers' values may hold `{placeholders}` that a fault's detail fills.
    """

    status: int
    code: str | int
    text: str
    headers: Mapping[str, str] = NO_HEADERS

    def headers_with(self, detail: Mapping[str, str]) -> dict[str, str]:
        """The headers, their `{placeholders}` filled."""
        return {name: value.format_map(detail) for name, value in self.headers.items()}


class Answer(NamedTuple):
    """A finished answer: status, compact JSON (or nothing), and the headers beside those that every answer has."""

    status: int
    body: str
    headers: Mapping[str, str] = NO_HEADERS


RETRY_LATER: Mapping[str, str] = {"Retry-After": "{seconds}"}
"""For refusals that say after how many seconds a retry is looked at again."""
