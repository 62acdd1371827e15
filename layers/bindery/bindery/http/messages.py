"""Types shared by request handling and the dialects."""

from collections.abc import Mapping, Sequence
from enum import StrEnum, auto
from time import perf_counter
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from bindery.core.errors import Reason, Refused

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
RETRY_AFTER: Mapping[str, str] = {"Retry-After": "1"}


class Access(StrEnum):
    """Access that an operation requires."""

    READ = auto()
    WRITE = auto()
    UNBIND = auto()


class Call:
    """An API Gateway HTTP API event (payload 2.0)."""

    __slots__ = ("event", "headers", "request_id", "source_ip", "started")

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.started = perf_counter()
        self.event = event
        # Lone surrogates can be neither hashed nor logged: replace them.
        self.headers: dict[str, str] = {
            name.lower(): value.encode(errors="replace").decode()
            for name, value in (event.get("headers") or {}).items()
        }
        context = event["requestContext"]
        self.request_id: str = context["requestId"]
        self.source_ip: str = context["http"]["sourceIp"]

    def header(self, *names: str) -> str | None:
        """Return the first of these headers (lower case) that is not blank."""
        for name in names:
            if value := self.headers.get(name, "").strip():
                return value
        return None

    def elapsed(self) -> float:
        """Return the seconds since the call."""
        return perf_counter() - self.started


class Request(BaseModel):
    """Parameters of an operation. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)
    source: ClassVar[Literal["path", "query", "body", "form", "query or form"]] = "path"


class Query(Request):
    """Parameters in the query string."""

    source = "query"


class Body(Request):
    """Parameters in a JSON object, whatever its Content-Type."""

    source = "body"


class Form(Request):
    """Parameters in a form, or in JSON, whose numbers and booleans become text."""

    source = "form"

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_as_text(cls, value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value


class QueryOrForm(Request):
    """Parameters in the query string or, without one, in a form or in JSON."""

    source = "query or form"


class Reply(BaseModel):
    """Result of a successful operation."""

    model_config = ConfigDict(
        frozen=True, serialize_by_alias=True, validate_by_name=True, validate_by_alias=True, defer_build=True
    )
    status: ClassVar[int] = 200

    def headers(self) -> dict[str, str]:
        """Return headers in addition to those of every response."""
        return {}


class Flaw(StrEnum):
    """Kind of problem with a parameter."""

    MALFORMED = auto()
    """Not UTF-8, not JSON, not an object, or too large."""
    MISSING = auto()
    """Absent, null, empty or blank."""
    WRONG_TYPE = auto()
    """Another JSON type, or a repeated query parameter."""
    TOO_LONG = auto()
    UNKNOWN_VALUE = auto()
    INVALID = auto()


class Problem(NamedTuple):
    """An invalid parameter ("" for the whole request)."""

    parameter: str
    flaw: Flaw
    note: str = ""
    """Forbidden character, such as `U+200B`."""


def named(problems: Sequence[Problem]) -> Refused:
    """Return the refusal: malformed, else missing, else invalid `{parameters}`."""
    if any(problem.flaw is Flaw.MALFORMED for problem in problems):
        return Refused(Reason.MALFORMED)
    missing = [problem.parameter for problem in problems if problem.flaw is Flaw.MISSING]
    reason = Reason.PARAMETER_MISSING if missing else Reason.INVALID
    return Refused(reason, parameters=", ".join(missing or map(_noted, problems)))


def _noted(problem: Problem) -> str:
    return f"{problem.parameter} ({problem.note})" if problem.note else problem.parameter


class ErrorRow(NamedTuple):
    """Response for a reason. The refusal's detail fills `{placeholders}`."""

    status: int
    code: str | int
    text: str
    headers: Mapping[str, str] = NO_HEADERS

    def headers_with(self, detail: Mapping[str, str]) -> dict[str, str]:
        """Return the headers with their `{placeholders}` filled."""
        return {name: value.format_map(detail) for name, value in self.headers.items()}


class Answer(NamedTuple):
    """Response, without the common headers."""

    status: int
    body: str
    headers: Mapping[str, str] = NO_HEADERS


RETRY_LATER: Mapping[str, str] = {"Retry-After": "{seconds}"}
