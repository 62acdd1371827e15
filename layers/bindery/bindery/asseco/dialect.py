"""Format of the asseco API (document 002)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import Capability, CardStatus, Kind
from bindery.asseco.owned_devices import OwnedDevice, Status
from bindery.core import env
from bindery.core.errors import Reason, Refused
from bindery.http.fields import Identifier128, is_customer
from bindery.http.messages import RETRY_AFTER, Access, Answer, Body, Call, ErrorRow, Flaw, Problem, Query, Reply
from bindery.security import oidc

_ERRORS = ErrorRow(400, "errors", "")
"""Row of invalid requests, whose detail is by field."""

REFUSALS = {
    Reason.PARAMETER_MISSING: _ERRORS,
    Reason.INVALID: _ERRORS,
    Reason.MALFORMED: _ERRORS,
    # RFC 6750, section 3.1: no error code if the request has no token.
    Reason.TOKEN_MISSING: ErrorRow(
        401, "unauthorized", "An access token is required", {"WWW-Authenticate": 'Bearer realm="device"'}
    ),
    Reason.TOKEN_INVALID: ErrorRow(
        401,
        "unauthorized",
        "The access token is not valid",
        {"WWW-Authenticate": 'Bearer realm="device", error="invalid_token"'},
    ),
    Reason.ACCESS_DENIED: ErrorRow(
        403,
        "forbidden",
        "The access token does not have the scope that this needs",
        {"WWW-Authenticate": 'Bearer realm="device", error="insufficient_scope"'},
    ),
    Reason.DEVICE_UNKNOWN: ErrorRow(404, "device-not-exist", "The device does not exist"),
    Reason.NOT_FOUND: ErrorRow(404, "classification-not-exist", "The classification does not exist"),
    Reason.NO_ROUTE: ErrorRow(404, "not-found", "The resource does not exist"),
    Reason.METHOD_NOT_ALLOWED: ErrorRow(405, "method-not-allowed", "The resource does not have this method"),
    Reason.IDENTIFIER_MISSING: ErrorRow(440, "imei-not-set", "The device's identifier is not set"),
    Reason.NICKNAME_MISSING: ErrorRow(440, "nickname-not-set", "The device's nickname is not set"),
    Reason.OPERATING_SYSTEM_MISSING: ErrorRow(
        440, "operating-system-not-set", "The device's operating system is not set"
    ),
    Reason.IDENTIFIER_TAKEN: ErrorRow(440, "imei-not-unique", "A device with this identifier is registered already"),
    Reason.NICKNAME_TAKEN: ErrorRow(440, "nickname-not-unique", "Another device of the customer has this nickname"),
    Reason.STATUS_NOT_VALID: ErrorRow(440, "device-status-not-valid", "The device's status does not allow this"),
    Reason.PUSH_REGISTERED: ErrorRow(
        440, "valid-push-registration-exist", "The device is registered with this push handle already"
    ),
    Reason.DEVICE_BANNED: ErrorRow(440, "device-status-not-valid", "The device's status does not allow this"),
    Reason.INTERNAL: ErrorRow(500, "internal-error", "Internal server error"),
    Reason.UNAVAILABLE: ErrorRow(503, "service-unavailable", "Service unavailable, try again", RETRY_AFTER),
    Reason.CONFLICT: ErrorRow(503, "service-unavailable", "Service unavailable, try again", RETRY_AFTER),
}
CREDENTIALS = frozenset({Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.ACCESS_DENIED})

IDENTIFIER = ("external-device-identifier", "external-device-id", "imei")

NICKNAME = AliasChoices("nickname", "nick-name")

_SCOPES = {Access.READ: "READ_SCOPE", Access.WRITE: "WRITE_SCOPE", Access.UNBIND: "WRITE_SCOPE"}
_NOT_SET = dict.fromkeys(IDENTIFIER, Reason.IDENTIFIER_MISSING) | {
    "nickname": Reason.NICKNAME_MISSING,
    "operating-system": Reason.OPERATING_SYSTEM_MISSING,
}
_LITERALS = {Flaw.MISSING: "required", Flaw.TOO_LONG: "max-length", Flaw.UNKNOWN_VALUE: "unknown-enum"}
_MESSAGES = {
    "required": "A value is required",
    "max-length": "The value is too long",
    "unknown-enum": "The value is not one of those defined",
    "invalid-format": "The value does not have the format required",
}


def _known(value: Any, check: ValidatorFunctionWrapHandler) -> str:
    try:
        return str(check(value))
    except ValidationError:
        raise Refused(Reason.DEVICE_UNKNOWN) from None


PathIdentifier = Annotated[Identifier128, WrapValidator(_known)]
"""An invalid one raises `DEVICE_UNKNOWN`."""


def hyphenated(name: str) -> str:
    """Return a field name in this API's spelling."""
    return name.replace("_", "-")


class Command(Body):
    """A request body. Of several names of a field, the first one with a value counts."""

    @model_validator(mode="before")
    @classmethod
    def _drop_blank_names(cls, members: dict[str, Any]) -> dict[str, Any]:
        aliases = [field.validation_alias for field in cls.model_fields.values()]
        alternatives = {name for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices}

        def blank(value: Any) -> bool:
            return value is None or (isinstance(value, str) and not value.strip())

        return {name: value for name, value in members.items() if name not in alternatives or not blank(value)}


class ErrorBody(BaseModel):
    """An error response."""

    model_config = ConfigDict(defer_build=True)

    problem: str
    message: str


class Error(BaseModel):
    """Problem with a field."""

    model_config = ConfigDict(defer_build=True)

    tag: str
    error: str
    message: str


class Errors(BaseModel):
    """An error response for an invalid request."""

    model_config = ConfigDict(defer_build=True)

    errors: list[Error]


class Changed(Reply):
    """The identifier as specified, and the new status."""

    id: str
    created_record_status: Status = Field(serialization_alias="CreatedRecordStatus")


class Created(Changed):
    """A new registration."""

    def headers(self) -> dict[str, str]:
        """Return the path of the registration."""
        return {"Location": f"/v1/device/owned-devices/{quote(self.id, safe='')}"}


class Accepted(Changed):
    """The device was unregistered."""

    status = 202


class NoContent(Reply):
    """Success, without content."""

    status = 204


class Shown(Reply):
    """An item of a collection. `state` is its `status`, which in a reply is the HTTP status."""

    model_config = ConfigDict(alias_generator=hyphenated)


class Device(Shown):
    """An owned device."""

    imei: str
    customer_id: str
    state: Status = Field(serialization_alias="status")
    nickname: str
    operating_system: str
    brand_name: str | None
    model_name: str | None
    installation_id: str | None
    push_id: str | None
    push_expiration_date: datetime | None


def owned(device: OwnedDevice) -> Device:
    """Return an owned device in this API's format."""
    expires = device.push_expiration_date
    return Device(
        imei=device.identifier,
        customer_id=device.customer,
        state=device.status,
        nickname=device.nickname,
        operating_system=device.operating_system,
        brand_name=device.brand_name,
        model_name=device.model_name,
        installation_id=device.installation_id,
        push_id=device.push_id,
        push_expiration_date=None if expires is None else datetime.fromtimestamp(expires // 1000, UTC),
    )


Value = TypeVar("Value")
Known = Annotated[Value | None, Field(exclude_if=lambda value: value is None)]
"""A member that is absent if it is null."""


class IssuedDevice(Shown):
    """An issued device. `nickname` is present only if it was set."""

    device_id: str
    kind: Kind
    holder_id: str
    capabilities: list[Capability]
    state: issued_devices.Status = Field(validation_alias="status", serialization_alias="status")
    nickname: Known[str] = None


class AuthenticationDevice(IssuedDevice):
    """A smart card or one-time password token."""

    kind: Literal[Kind.SMART_CARD, Kind.OTP_TOKEN]


class PaymentCard(IssuedDevice):
    """A payment card. Unknown members are absent: the vendor's schema has no null."""

    kind: Literal[Kind.PAYMENT_CARD]
    masked_card_number: Known[str]
    is_primary: Known[bool]
    card_status: CardStatus
    cardholder_name: Known[str]
    delivery_date: Known[date]
    activation_date: Known[date]
    expiration_date: Known[date]
    card_kind: Known[str]
    card_brand: Known[str]
    card_image_url: Known[str]


Issued = PaymentCard | AuthenticationDevice


def issued(device: issued_devices.IssuedDevice) -> Issued:
    """Return an issued device in this API's format."""
    shown = PaymentCard if isinstance(device, issued_devices.PaymentCard) else AuthenticationDevice
    return shown.model_validate(device, from_attributes=True)


Item = TypeVar("Item", bound=Shown)


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "given more than once")
    return [part.strip() for part in value.split(",")]


Csv = Annotated[frozenset[Value] | None, BeforeValidator(_split)]


class member_of:  # noqa: N801 (an annotation, used like a function)
    """A text that must name a member of an item."""

    def __init__(self, shown: type[Shown]) -> None:
        self._names = [str(field.serialization_alias) for field in shown.model_fields.values()]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": self._names}

    def _check(self, value: str) -> str:
        if value not in self._names:
            raise PydanticCustomError("enum", "no member")
        return value


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise PydanticCustomError("int_parsing", "no whole number")
    return value


class Listing(Query):
    """Sort order and page of a collection. A parameter without a value counts as absent."""

    model_config = ConfigDict(alias_generator=hyphenated)
    sort_by: str | None
    sort_order: Literal["asc", "desc"] = "asc"
    page: Annotated[Annotated[int, Field(ge=1, le=999_999_999)], BeforeValidator(_whole)] = 1
    page_size: Annotated[Annotated[int, Field(ge=1, le=100)], BeforeValidator(_whole)] = 10

    @model_validator(mode="before")
    @classmethod
    def _drop_blanks(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in parameters.items()}
        return {name: value for name, value in trimmed.items() if value != ""}

    def part(self, items: Iterable[Item]) -> list[Item]:
        """Return the requested page. Items without a value to sort by come last."""
        if self.sort_by is None:
            found = list(items)
            return (found if self.sort_order == "asc" else found[::-1])[self._slice]
        pairs = [(item.model_dump().get(self.sort_by), item) for item in items]
        with_value = [pair for pair in pairs if pair[0] is not None]
        with_value.sort(key=itemgetter(0), reverse=self.sort_order == "desc")
        ordered = [item for _, item in with_value] + [item for value, item in pairs if value is None]
        return ordered[self._slice]

    @property
    def _slice(self) -> slice:
        return slice((self.page - 1) * self.page_size, self.page * self.page_size)


def authenticate(call: Call, access: Access) -> str:
    """Return the token's customer. Raises `TOKEN_MISSING`, `TOKEN_INVALID` and `ACCESS_DENIED`."""
    scheme, _, token = (call.header("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(Reason.TOKEN_MISSING)
    claims = oidc.verify(token.strip())
    customer = claims.get(env.read("CUSTOMER_CLAIM"))
    if not is_customer(customer):
        raise Refused(Reason.TOKEN_INVALID)
    needed = env.read(_SCOPES[access])
    # RFC 9068: `scope`, a space-separated text. Some issuers send a list, or call it `scp`.
    if needed and not any(needed in _texts(claims.get(name)) for name in ("scope", "scp")):
        raise Refused(Reason.ACCESS_DENIED)
    return customer


def _texts(claim: Any) -> Sequence[Any]:
    return claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []


def invalid(problems: Sequence[Problem], caller: str) -> Refused:
    """Return the refusal for all invalid fields, or else for the first missing one."""
    flawed = [problem for problem in problems if problem.flaw is not Flaw.MISSING or problem.parameter not in _NOT_SET]
    if not flawed:
        return Refused(_NOT_SET[problems[0].parameter])
    errors = {
        problem.parameter or "body": f"{_LITERALS.get(problem.flaw, 'invalid-format')} {problem.note}".strip()
        for problem in flawed
    }
    return Refused(Reason.MALFORMED if flawed[0].flaw is Flaw.MALFORMED else Reason.INVALID, **errors)


def _error(tag: str, literal: str, character: str) -> Error:
    message = f"The value contains the invisible character {character}" if character else _MESSAGES[literal]
    return Error(tag=tag, error=literal, message=message)


def success(reply: Reply, call: Call) -> Answer:
    """Return the reply's members, or no content."""
    return Answer(reply.status, "" if isinstance(reply, NoContent) else reply.model_dump_json(), reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """Return `{"problem", "message"}`, or `{"errors": […]}` for an invalid request."""
    row = REFUSALS[fault.reason]
    envelope: BaseModel
    if row is _ERRORS:
        envelope = Errors(errors=[_error(tag, *error.partition(" ")[::2]) for tag, error in fault.detail.items()])
    else:
        envelope = ErrorBody(problem=str(row.code), message=row.text)
    return Answer(row.status, envelope.model_dump_json(), row.headers)
