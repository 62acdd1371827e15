"""The operators' door: one Lambda function a resource under /admin/v1/, behind IAM (SigV4).

Here a router fits: a resource has a handful of methods, its callers are few, and a slower cold start is no matter.
Every refusal is a problem detail (RFC 9457, `application/problem+json`): `type`, `title`, `status`, `detail`, `reason`
and, for a request that is not as it must be, `errors`. Whoever the signature names is written into every record that
the request changes (`changed_by`) and into the request's one log line. Times are milliseconds since the epoch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Annotated, Any, Generic, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError, from_json, to_json

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import HotKey, Reason, Refused
from bindery.http import emf, operation
from bindery.http.fields import ID, ID64, VERBATIM, Customer, OptionalIdentifier128, as_name, expected, place
from bindery.http.messages import RETRY_AFTER, Call
from bindery.http.operation import Invalid, logger
from bindery.registry import identity

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
"""What each reason becomes here: status and title."""

BODY_LIMIT = 6 * 1024 * 1024
"""Bytes of a decoded body: what Lambda takes. An import is as large as that."""

PAGE_LIMIT = 100
"""Entries of a page of a list at most."""

Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Entries of a page.")]
Cursor = Annotated[str | None, Query(max_length=4096, description="`next` of the page before; none for the first.")]

Entry = TypeVar("Entry")


class Asked(BaseModel):
    """A request's body. What it does not know it refuses: an operator's typing error must not be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    def given(self) -> dict[str, Any]:
        """The members that the body has, and no defaults."""
        return self.model_dump(exclude_unset=True)


UNCHANGED: Any = None
"""The default of a member that a change need not name; a null that is given is judged as any other value."""


@contextmanager
def explained(texts: Mapping[Reason, str], at: str | None = None) -> Iterator[None]:
    """Say what a refusal means for this operation, by its reason; `at` is the member of the request that causes it."""
    try:
        yield
    except Refused as fault:
        if fault.detail or fault.reason not in texts:
            raise
        place = {} if at is None else {"at": at}
        raise Refused(fault.reason, detail=texts[fault.reason], **place) from fault


class Page(BaseModel, Generic[Entry]):
    """A page of a list. `next` is where the next one begins, null on the last."""

    items: Sequence[Entry]
    next: str | None = None


Name = Annotated[str, Field(min_length=1, max_length=128, pattern=VERBATIM), AfterValidator(as_name)]
"""A text that people read."""

Id = Annotated[str, Field(**ID)]
"""An identifier that operators choose, in a body: it will stand in paths."""
Id64 = Annotated[str, Field(**ID64)]
"""One that quectel's clients name too."""
PathId = Annotated[str, Path(**ID)]
"""The same in a path."""
QueryId = Annotated[str, Query(**ID)]
"""The same in a query."""
OptionalQueryId = Annotated[str | None, Query(**ID)]
"""The same in a query that need not have it."""
OptionalQueryIdentifier = Annotated[OptionalIdentifier128, Query()]
"""An identifier that is looked for, in a query that need not have it."""


def _future(moment: int) -> int:
    if moment <= clock.now():
        raise PydanticCustomError("past", "is in the past")
    return moment


FutureTime = Annotated[StrictInt, Field(ge=10**12, lt=10**14), AfterValidator(_future)]
"""A time that is yet to come, in milliseconds since the epoch."""

_DEVICE: Any = {"min_length": 1, "max_length": 1366, "description": "A device's opaque id (`identity.opaque`)."}
DeviceId = Annotated[str, Path(**_DEVICE)]
"""A device's opaque id in a path, of as many characters as a key has that an index takes too: 1,024 bytes."""
OptionalDeviceId = Annotated[str | None, Query(**_DEVICE)]
"""The same in a query that need not have it."""


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
"""A bank's customer in a path, where a name of theirs could not stand: it may have slashes."""
QueryCustomer = Annotated[Customer, Query(description="The customer, to the letter as the bank's issuer names them.")]
"""The same in a query, as it is."""


_ONE_AT_A_TIME = RLock()
"""Powertools keeps the event of the request at hand for all routers of a process: one at a time, as Lambda does it."""


class Resource:
    """One resource's operations: the router that its file fills, and the Lambda handler."""

    def __init__(self, name: str) -> None:
        self.name = f"admin.{name}"
        self.app = APIGatewayHttpResolver(
            enable_validation=True,
            serializer=lambda body: to_json(body).decode(),
            json_body_deserializer=lambda _: operation.parse(operation.body(self.app.context["call"], BODY_LIMIT)),
        )
        self.app.exception_handler(Refused)(_refused)
        self.app.exception_handler(RequestValidationError)(_invalid)
        self.app.exception_handler(Invalid)(_malformed)
        self.app.exception_handler(ServiceError)(_unroutable)
        self.app.exception_handler(Exception)(_broken)

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answer one API Gateway event (payload 2.0) that API Gateway has authorised."""
        call = Call(event)
        who = caller(event)
        # To Powertools every body is JSON text: the door decodes it and parses it, as it does for the five APIs.
        headers = call.headers | {"content-type": "application/json"}
        with dynamodb.acting(who), _ONE_AT_A_TIME:
            self.app.context["call"] = call
            answer: dict[str, Any] = self.app.resolve(_routed(event) | {"headers": headers}, context)
        answer["headers"] = {**answer.get("headers", {}), "x-request-id": call.request_id}
        for name, values in answer.pop("multiValueHeaders", {}).items():
            answer["headers"][name] = ",".join(values)
        # What a refused request names need not exist: it may be a secret that stands in the wrong place.
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
    """The event as Powertools routes it: its body is decoded elsewhere, and only a printable path has a route.

    Powertools ends its routes in `$`, which also matches before a line feed at the end: an IAM policy may not.
    """
    path = event["rawPath"]
    return {**event, "rawPath": path if path.isprintable() else "/", "isBase64Encoded": False}


def caller(event: Mapping[str, Any]) -> str:
    """The ARN of whoever signed the request, as API Gateway verified it. `KeyError`: the route is not behind IAM."""
    return str(event["requestContext"]["authorizer"]["iam"]["userArn"])


def _problem(status: int, title: str, reason: Reason, **members: Any) -> Response[str]:
    body = {"type": "about:blank", "title": title, "status": status, "reason": reason, **members}
    headers: dict[str, str | list[str]] = dict(RETRY_AFTER) if status == 503 else {}
    return Response(status, "application/problem+json", to_json(body).decode(), headers)


def _reason(answer: Mapping[str, Any]) -> Reason | None:
    return Reason(from_json(answer["body"])["reason"]) if answer["statusCode"] >= 400 else None


def _refused(fault: Refused) -> Response[str]:
    reason = fault.reason if fault.reason in PROBLEMS else Reason.INTERNAL
    if isinstance(fault, HotKey):
        logger.warning("a key range is throttled", extra={"throttled": fault.throttled})
    elif reason is Reason.UNAVAILABLE:
        logger.exception("a service could not be reached")
    elif reason is Reason.INTERNAL:
        logger.exception("internal error")
    status, title = PROBLEMS[reason]
    if "at" in fault.detail:
        # A member of the request that names what does not exist, or whose value is not one of those that it can have.
        error = {"at": fault.detail["at"], "problem": reason, "message": fault.detail["detail"]}
        return _problem(status, title, reason, errors=[error])
    return _problem(status, title, reason, **fault.detail)


def _invalid(error: RequestValidationError) -> Response[str]:
    status, title = PROBLEMS[Reason.INVALID]
    # Where and what, never the value: it may be a secret.
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
