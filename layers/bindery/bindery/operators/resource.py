"""The admin API: a Lambda function and router for each resource under /admin/v1/, behind IAM.

Refusals are problem details (RFC 9457). Times are milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Annotated, Any, Generic, Literal, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError, from_json, to_json

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage
from bindery.core import clock
from bindery.core.errors import HotKey, Reason, Refused
from bindery.directory import rates
from bindery.http import emf, operation
from bindery.http.fields import (
    ID,
    ID64,
    VERBATIM,
    Customer,
    Email,
    Identifier128,
    Identifier1366,
    IpAddress,
    ServiceAddress,
    as_name,
    expected,
    place,
)
from bindery.http.messages import RETRY_AFTER, Call
from bindery.http.operation import Invalid, logger
from bindery.registry import identity
from bindery.registry.items import State

PROBLEMS: dict[Reason, tuple[int, str]] = {
    Reason.INVALID: (422, "The request is not valid"),
    Reason.NOT_FOUND: (404, "Not found"),
    Reason.NO_ROUTE: (404, "The resource does not exist"),
    Reason.METHOD_NOT_ALLOWED: (405, "The resource does not have this method"),
    Reason.ALREADY_EXISTS: (409, "It already exists"),
    Reason.ALREADY_BOUND: (409, "The device is already bound"),
    Reason.BOUND_BY_ANOTHER: (409, "The device is bound by another holder"),
    Reason.SHARE_ACCEPTED: (409, "The device is already shared"),
    Reason.LIMIT_REACHED: (409, "The limit is reached"),
    Reason.DEVICE_BANNED: (409, "The device is banned"),
    Reason.STATUS_NOT_VALID: (409, "The current state does not allow this"),
    Reason.UNAVAILABLE: (503, "The registry could not be reached. Try again"),
    Reason.CONFLICT: (503, "A concurrent change interfered. Try again"),
    Reason.INTERNAL: (500, "Internal error"),
}

BODY_LIMIT = 6 * 1024 * 1024
"""Bytes, decoded: a Lambda event, for imports."""

PAGE_LIMIT = 100

Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Maximum number of entries of the page.")]
Cursor = Annotated[
    str | None, Query(max_length=4096, description="`next` of the previous page; omit it for the first page.")
]

Entry = TypeVar("Entry")
Item = TypeVar("Item", bound=Mapping[str, Any])


class RequestBody(BaseModel):
    """Body of a request. Unknown members may be misspelt, and are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    def specified(self) -> dict[str, Any]:
        """Return the members without defaults."""
        return self.model_dump(exclude_unset=True)


class RateLimit(RequestBody):
    """Requests per second, and how many may come at once (default: those of a second)."""

    per_second: Annotated[StrictInt, Field(ge=1, le=rates.FASTEST)]
    burst: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None


Cascade = Annotated[
    bool,
    Query(description="Close it although others depend on it, so that nothing new can: then delete these."),
]


class Deletion(BaseModel):
    """Progress of a deletion. Unless `complete`, repeat the request: after `wait_seconds`, and without dependents."""

    complete: bool
    wait_seconds: int = 0
    dependents: Mapping[str, int] = {}


# A null in the body is validated like any other value.
UNCHANGED: Any = None
"""Default of an optional member of a change."""


@contextmanager
def explained(texts: Mapping[Reason, str], at: str | None = None) -> Iterator[None]:
    """Explain refusals for these reasons; `at` is the member that causes them."""
    try:
        yield
    except Refused as refused:
        if refused.detail or refused.reason not in texts:
            raise
        location = {} if at is None else {"at": at}
        raise Refused(refused.reason, detail=texts[refused.reason], **location) from refused


class Page(BaseModel, Generic[Entry]):
    """A page of a list. `next` is the cursor of the next page, null on the last."""

    items: Sequence[Entry]
    next: str | None = None

    @classmethod
    def of(cls, found: CursorPage[Item], entry: Callable[[Item], Entry]) -> "Page[Entry]":
        """Return the entries for a page of stored items."""
        return cls(items=[entry(item) for item in found.items], next=found.cursor)


Name = Annotated[str, Field(min_length=1, max_length=128, pattern=VERBATIM), AfterValidator(as_name)]

Id = Annotated[str, Field(**ID)]
Id64 = Annotated[str, Field(**ID64)]
PathId = Annotated[str, Path(**ID)]
QueryId = Annotated[str, Query(**ID)]
OptionalQueryId = Annotated[str | None, Query(**ID)]
OptionalQueryIdentifier = Annotated[Identifier128 | None, Query()]
QueryEmail = Annotated[Email | None, Query(description="Email address, in any spelling.")]
OptionalQueryAddress = Annotated[ServiceAddress | None, Query()]
QueryText = Annotated[Identifier1366, Query()]


def _future(moment: int) -> int:
    if moment <= clock.now():
        raise PydanticCustomError("past", "is in the past")
    return moment


FutureTime = Annotated[StrictInt, Field(ge=10**12, lt=10**14), AfterValidator(_future)]

# 1,366 characters of base64 are 1,024 bytes, the maximum length of a key that is also the sort key of an index.
_DEVICE: Any = {"min_length": 1, "max_length": 1366, "description": "Opaque id of the device."}
DeviceId = Annotated[str, Path(**_DEVICE)]
OptionalDeviceId = Annotated[str | None, Query(**_DEVICE)]


def _customer(text: str) -> str:
    try:
        return identity.from_opaque(text)
    except Refused:
        raise PydanticCustomError("customer", "not URL-safe base64, without padding, of a customer's name") from None


PathCustomer = Annotated[
    str,
    Path(min_length=1, max_length=1354, description="The customer's name in URL-safe base64, without padding."),
    AfterValidator(_customer),
]
"""Encoded, because a name may contain slashes."""
BulkAct = Annotated[
    Literal[
        "ban",
        "unban",
        "lost",
        "found",
        "retire",
        "return",
        "delete",
        "disable",
        "enable",
        "deactivate",
        "activate",
        "unbind",
        "assign",
        "unassign",
    ],
    Path(description="Act on each device."),
]
QueryPort = Annotated[int, Query(ge=1, le=65535, description="Port of the relay host.")]
QueryClient = Annotated[IpAddress, Query(description="IP address of a client.")]
QueryCustomer = Annotated[
    Customer, Query(description="The customer's name, exactly as in the tokens of the bank's issuer.")
]

QueryProgress = Annotated[
    str | None,
    Query(max_length=8192, description="`progress` of the previous response; omit it for the first request."),
]

EventId = Annotated[str, Path(min_length=32, max_length=32, pattern="^[0-9a-f]+$", description="Id of the event.")]
QueryOperator = Annotated[str, Query(min_length=1, max_length=1000, description="ARN of the operator.")]
Since = Annotated[int, Query(ge=0, lt=10**14, description="Time in milliseconds.")]
OptionalSince = Annotated[
    int | None,
    Query(ge=0, lt=10**14, description="Time of recording in milliseconds. Default: that of the oldest event."),
]
LogLimit = Annotated[int, Query(ge=16, le=1000, description="Maximum number of events.")]
LogCursor = Annotated[str | None, Query(max_length=100, description="`next` of the previous response.")]

QueryApi = Annotated[
    Literal["asseco", "quectel", "rufus", "vodlix"] | None,
    Query(description="API to which the devices belong."),
]
OptionalQueryState = Annotated[State | None, Query(description="State in which the devices are.")]
OptionalSinceState = Annotated[
    int | None,
    Query(ge=0, lt=10**14, description="Time in milliseconds: only devices that entered the state then or later."),
]
Days = Annotated[int, Query(ge=0, le=31, description="Number of days, the last of them today.")]

# All routers of a process share Powertools' current event, so they handle one request at a time, as in Lambda.
_ONE_AT_A_TIME = RLock()


class Resource:
    """Lambda handler and router of a resource."""

    def __init__(self, name: str) -> None:
        self.name = f"admin.{name}"
        self.app = APIGatewayHttpResolver(
            enable_validation=True,
            serializer=lambda body: to_json(body).decode(),
            json_body_deserializer=lambda _: operation.parse_object(
                operation.body(self.app.context["call"], BODY_LIMIT)
            ),
        )
        self.app.exception_handler(Refused)(_refused)
        self.app.exception_handler(RequestValidationError)(_invalid)
        self.app.exception_handler(Invalid)(_malformed)
        self.app.exception_handler(ServiceError)(_unroutable)
        self.app.exception_handler(Exception)(_broken)

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Handle an event that API Gateway authorised."""
        call = Call(event)
        who = caller(event)
        # Powertools sees JSON text in every body. It is decoded and parsed as for the five APIs.
        headers = call.headers | {"content-type": "application/json"}
        with dynamodb.acting(who), _ONE_AT_A_TIME:
            self.app.context["call"] = call
            answer: dict[str, Any] = self.app.resolve(_routed(event) | {"headers": headers}, context)
        answer["headers"] = {**answer.get("headers", {}), "x-request-id": call.request_id}
        for name, values in answer.pop("multiValueHeaders", {}).items():
            answer["headers"][name] = ",".join(values)
        # A refused path may contain a secret in the wrong place.
        path = event["rawPath"] if answer["statusCode"] < 400 else f"/{'/'.join(event['rawPath'].split('/')[1:4])}"
        logger.info(
            self.name,
            extra={
                "request_id": call.request_id,
                "request": f"{event['requestContext']['http']['method']} {path}",
                "status": answer["statusCode"],
                "by": who,
                **emf.members(self.name, call.elapsed(), _reason(answer)),
            },
        )
        return answer


def _routed(event: Mapping[str, Any]) -> dict[str, Any]:
    # Powertools' routes end in `$`, which also matches before a final line feed; an IAM policy may not match it.
    path = event["rawPath"]
    return {**event, "rawPath": path if path.isprintable() else "/", "isBase64Encoded": False}


def caller(event: Mapping[str, Any]) -> str:
    """Return the signer's ARN. Raise `KeyError` if the route is not behind IAM."""
    return str(event["requestContext"]["authorizer"]["iam"]["userArn"])


def _problem(status: int, title: str, reason: Reason, **members: Any) -> Response[str]:
    body = {"type": "about:blank", "title": title, "status": status, "reason": reason, **members}
    headers: dict[str, str | list[str]] = dict(RETRY_AFTER) if status == 503 else {}
    return Response(status, "application/problem+json", to_json(body).decode(), headers)


def _reason(answer: Mapping[str, Any]) -> Reason | None:
    return Reason(from_json(answer["body"])["reason"]) if answer["statusCode"] >= 400 else None


def _refused(refused: Refused) -> Response[str]:
    reason = refused.reason if refused.reason in PROBLEMS else Reason.INTERNAL
    if isinstance(refused, HotKey):
        logger.warning("a key range is throttled", extra={"throttled": refused.throttled})
    elif reason is Reason.UNAVAILABLE:
        logger.exception("a service could not be reached")
    elif reason is Reason.INTERNAL:
        logger.exception("internal error")
    status, title = PROBLEMS[reason]
    if "at" in refused.detail:
        error = {"at": refused.detail["at"], "problem": reason, "message": refused.detail["detail"]}
        return _problem(status, title, reason, errors=[error])
    return _problem(status, title, reason, **refused.detail)


def _invalid(error: RequestValidationError) -> Response[str]:
    status, title = PROBLEMS[Reason.INVALID]
    # Without the value, which may be a secret.
    errors = [
        {"at": ".".join(place(found)), "problem": found["type"], "message": expected(found)} for found in error.errors()
    ]
    return _problem(status, title, Reason.INVALID, errors=errors)


def _malformed(_: Invalid) -> Response[str]:
    errors = [{"at": "body", "problem": "malformed", "message": "must be a JSON object in UTF-8"}]
    return _problem(*PROBLEMS[Reason.INVALID], Reason.INVALID, errors=errors)


def _unroutable(error: ServiceError) -> Response[str]:
    reason = Reason.METHOD_NOT_ALLOWED if error.status_code == 405 else Reason.NO_ROUTE
    return _problem(*PROBLEMS[reason], reason)


def _broken(error: Exception) -> Response[str]:
    logger.exception("internal error")
    return _problem(*PROBLEMS[Reason.INTERNAL], Reason.INTERNAL)
