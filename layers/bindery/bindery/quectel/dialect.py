"""Format of the quectel API. The HTTP status is always 200: `code` has the result.

Document 001 is "Bind Device Using SN"; the other operations are from the API's wider documentation.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, Field, SerializeAsAny, Strict

from bindery.core.errors import Reason, Refused
from bindery.directory import sessions
from bindery.directory.sessions import Session
from bindery.http.fields import Trimmed
from bindery.http.messages import RETRY_AFTER, RETRY_LATER, Access, Answer, Call, ErrorRow, Flaw, Problem, Reply
from bindery.quectel import binding, user_devices
from bindery.registry import items

REFUSALS = {
    Reason.TOKEN_MISSING: ErrorRow(200, 5106, "Please enter token"),
    Reason.TOKEN_INVALID: ErrorRow(200, 5032, "Token verification failed"),
    Reason.RATE_EXCEEDED: ErrorRow(200, 5048, "Device binding failed", RETRY_LATER),
    Reason.USER_UNKNOWN: ErrorRow(200, 5033, "User does not exist"),
    Reason.USER_DOMAIN_UNKNOWN: ErrorRow(200, 5015, "User domain does not exist"),
    Reason.SIGNATURE_INVALID: ErrorRow(200, 5420, "Signature verification failed"),
    Reason.EMAIL_UNKNOWN: ErrorRow(200, 5031, "Email not registered"),
    Reason.PHONE_UNKNOWN: ErrorRow(200, 5004, "Phone number not registered"),
    Reason.PASSWORD_WRONG: ErrorRow(200, 5012, "Incorrect user name or password"),
    Reason.LOGIN_THROTTLED: ErrorRow(200, 5012, "Incorrect user name or password", RETRY_LATER),
    Reason.PRODUCT_KEY_MISSING: ErrorRow(200, 5066, "Please enter Product Key"),
    Reason.NAME_MISSING: ErrorRow(200, 5068, "Please enter device name"),
    Reason.IDENTIFIER_MISSING: ErrorRow(200, 5140, "Please enter pk, dk or share code"),
    Reason.SHARE_CODE_MISSING: ErrorRow(200, 5136, "Please enter share code"),
    Reason.SHARE_MODE_UNKNOWN: ErrorRow(200, 5133, "Override flag parameter value out of range"),
    Reason.TIMESTAMP_INVALID: ErrorRow(200, 5145, "Timestamp format incorrect"),
    Reason.QUERY_TYPE_MISSING: ErrorRow(200, 5471, "Please enter query type for property identifiers"),
    Reason.COMMAND_TYPE_MISSING: ErrorRow(200, 5070, "Please enter type"),
    Reason.COMMAND_TYPE_UNKNOWN: ErrorRow(200, 5071, "Type error, types are 1: Passthrough 2: Property 3: Service"),
    Reason.COMMAND_MISSING: ErrorRow(200, 5074, "Please enter device control command"),
    Reason.COMMAND_TOO_LONG: ErrorRow(200, 5075, "Device control command length cannot exceed 4096"),
    Reason.DEVICES_MISSING: ErrorRow(200, 5311, "Please enter device list"),
    Reason.TOO_MANY_DEVICES: ErrorRow(200, 5312, "Total number of devices in list exceeds range"),
    Reason.SHARING_TOO_SHORT: ErrorRow(
        200, 5153, "Device usage expiration time must be greater than share QR code seed expiration time"
    ),
    Reason.SERIAL_MISSING: ErrorRow(200, 5088, "Please enter device SN"),
    Reason.NAME_TOO_LONG: ErrorRow(200, 5333, "Device name exceeds length limit"),
    Reason.PARAMETER_MISSING: ErrorRow(200, 5048, "Device binding failed"),
    Reason.INVALID: ErrorRow(200, 5048, "Device binding failed"),
    Reason.MALFORMED: ErrorRow(200, 5048, "Device binding failed"),
    Reason.DOMAIN_ABNORMAL: ErrorRow(200, 5093, "Abnormal user domain"),
    Reason.ROLE_NOT_PERMITTED: ErrorRow(200, 5669, "Regular user has no permission to bind device"),
    Reason.PRODUCT_UNKNOWN: ErrorRow(200, 5553, "Product or device does not exist"),
    Reason.TSL_UNKNOWN: ErrorRow(200, 5193, "TSL query failed"),
    Reason.DOMAIN_NOT_AUTHORISED: ErrorRow(200, 5229, "User domain not authorized for this product"),
    Reason.PRODUCT_FORBIDDEN: ErrorRow(200, 5327, "No permission for this product"),
    Reason.HOME_MODE_OFF: ErrorRow(200, 5624, "Home mode not enabled"),
    Reason.FAMILY_MISSING: ErrorRow(200, 5636, "Please enter family ID"),
    Reason.FAMILY_FORBIDDEN: ErrorRow(200, 5041, "No permission"),
    Reason.NOT_OWNER: ErrorRow(200, 5041, "No permission"),
    Reason.SERIAL_UNKNOWN: ErrorRow(200, 5090, "Requested device SN invalid"),
    Reason.SERIAL_THROTTLED: ErrorRow(200, 5090, "Requested device SN invalid", RETRY_LATER),
    Reason.BINDINGS_THROTTLED: ErrorRow(200, 5090, "Requested device SN invalid", RETRY_LATER),
    Reason.DEVICE_KEY_MISSING: ErrorRow(200, 5067, "Please enter Device Key"),
    Reason.DEVICE_KEY_MALFORMED: ErrorRow(200, 5361, "Incorrect DK format"),
    Reason.DATA_CENTER_MISMATCH: ErrorRow(200, 6083, "Bound device does not belong to current data center"),
    Reason.DEVICE_BANNED: ErrorRow(200, 5009, "Device verification failed"),
    Reason.ALREADY_BOUND: ErrorRow(200, 5049, "Device already bound"),
    Reason.DEVICE_NOT_BOUND: ErrorRow(200, 5052, "Device not bound"),
    Reason.NOT_SHARED: ErrorRow(200, 5141, "No permission to query this device"),
    Reason.LOOK_THROTTLED: ErrorRow(200, 5141, "No permission to query this device", RETRY_LATER),
    Reason.SHARING_FORBIDDEN: ErrorRow(200, 5135, "No permission to share this device"),
    Reason.SHARING_SHORTENED: ErrorRow(
        200,
        5151,
        "With override flag 3, the device usage expiration time of the share code cannot be less than that of the"
        " currently used share code",
    ),
    Reason.SHARE_UNKNOWN: ErrorRow(200, 5136, "Invalid share code"),
    Reason.SHARE_THROTTLED: ErrorRow(200, 5136, "Invalid share code", RETRY_LATER),
    Reason.LIMIT_REACHED: ErrorRow(200, 5138, "Device sharing failed"),
    Reason.SHARE_ACCEPTED: ErrorRow(200, 6040, "Already accepted device sharing"),
    Reason.BOUND_BY_ANOTHER: ErrorRow(200, 5412, "Product binding mode is unique, cannot bind repeatedly"),
    Reason.COMMON_LIST_FULL: ErrorRow(200, 5893, "Failed to add common device"),
    Reason.SERIAL_LOOKUP_FAILED: ErrorRow(200, 5089, "Device SN request failed", RETRY_AFTER),
    Reason.LOOKUP_FAILED: ErrorRow(200, 5314, "Device query failed in cloud platform", RETRY_AFTER),
    Reason.BINDING_FAILED: ErrorRow(200, 5048, "Device binding failed", RETRY_AFTER),
    Reason.UNAVAILABLE: ErrorRow(200, 5048, "Device binding failed", RETRY_AFTER),
    Reason.CONFLICT: ErrorRow(200, 5048, "Device binding failed", RETRY_AFTER),
    Reason.INTERNAL: ErrorRow(200, 5048, "Device binding failed"),
    Reason.NO_ROUTE: ErrorRow(200, 404, "Not found"),
    Reason.METHOD_NOT_ALLOWED: ErrorRow(200, 405, "Method not allowed"),
}
CREDENTIALS = frozenset({Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.RATE_EXCEEDED})

_NAMED = {
    ("pk", Flaw.MISSING): Reason.PRODUCT_KEY_MISSING,
    ("dk", Flaw.MISSING): Reason.DEVICE_KEY_MISSING,
    ("dk", Flaw.INVALID): Reason.DEVICE_KEY_MALFORMED,
    ("sn", Flaw.MISSING): Reason.SERIAL_MISSING,
    ("sn", Flaw.INVALID): Reason.SERIAL_UNKNOWN,
    ("shareCode", Flaw.MISSING): Reason.SHARE_CODE_MISSING,
    ("deviceName", Flaw.MISSING): Reason.NAME_MISSING,
    ("deviceName", Flaw.TOO_LONG): Reason.NAME_TOO_LONG,
    ("acceptingExpireAt", Flaw.INVALID): Reason.TIMESTAMP_INVALID,
    ("coverMark", Flaw.UNKNOWN_VALUE): Reason.SHARE_MODE_UNKNOWN,
    ("sharingExpireAt", Flaw.INVALID): Reason.TIMESTAMP_INVALID,
    ("type", Flaw.MISSING): Reason.COMMAND_TYPE_MISSING,
    ("type", Flaw.UNKNOWN_VALUE): Reason.COMMAND_TYPE_UNKNOWN,
    ("data", Flaw.MISSING): Reason.COMMAND_MISSING,
    ("data", Flaw.TOO_LONG): Reason.COMMAND_TOO_LONG,
    ("deviceList", Flaw.MISSING): Reason.DEVICES_MISSING,
    ("deviceList", Flaw.TOO_LONG): Reason.TOO_MANY_DEVICES,
}
"""Problems with their own code, in the order of the checks."""

_LOOKUP_FAILED = (5314, "Device query failed in cloud platform")
_FAILED = {
    "userDeviceList": _LOOKUP_FAILED,
    "deviceInfo": _LOOKUP_FAILED,
    "getDeviceInfoByBinding": _LOOKUP_FAILED,
    "getDeviceBindingInfo": _LOOKUP_FAILED,
    "getDeviceOnlineStatus": _LOOKUP_FAILED,
    "getProductList": _LOOKUP_FAILED,
    "getAuthKey": _LOOKUP_FAILED,
    "regenerateAuthKey": (5054, "Device information modification failed"),
    "getDeviceBusinessAttributes": (5114, "DMP business attribute query failed"),
    "batchControlDevice": (5340, "Batch control devices failed"),
    "productTSL": (5193, "TSL query failed"),
    "unbundlingDeviceDk": (5050, "Device unbinding failed"),
    "setDeviceInfo": (5054, "Device information modification failed"),
    "shareInfo": (5134, "Failed to add device share information"),
    "shareDevice": (5138, "Device sharing failed"),
    "emailPwdLogin": (5048, "Login failed"),
    "phonePwdLogin": (5048, "Login failed"),
    "userInfo": (5048, "User information query failed"),
    "refreshToken": (5048, "Token refresh failed"),
}
"""Error codes of the other operations in place of 5048."""

OWN_DEVICE = (
    Reason.PRODUCT_KEY_MISSING,
    Reason.DEVICE_KEY_MISSING,
    Reason.DEVICE_KEY_MALFORMED,
    Reason.LOOKUP_FAILED,
    Reason.DEVICE_NOT_BOUND,
)
"""Reasons for which operations on a device of the user refuse."""

DeviceKey = Annotated[str, Trimmed, Strict(), Field(pattern=f"^(?:{binding.DEVICE_KEY})$")]
ShareCode = Annotated[str, Trimmed, Strict()]
"""Its tag decides whether it is valid."""


class Device(Reply):
    """A device of the user."""

    product_key: str = Field(serialization_alias="productKey")
    device_key: str = Field(serialization_alias="deviceKey")
    device_name: str = Field(serialization_alias="deviceName")
    product_name: str = Field(serialization_alias="productName")
    sn: str
    auth_key: str = Field(serialization_alias="authKey")
    online_status: int = Field(serialization_alias="onlineStatus")
    device_status: str = Field(serialization_alias="deviceStatus")
    device_type: int = Field(serialization_alias="deviceType")
    bind_mode: int = Field(serialization_alias="bindMode")
    binding_type: int = Field(default=1, serialization_alias="bindingType")
    bind_status: int = Field(default=1, serialization_alias="bindStatus")
    capabilities_bitmask: int = Field(serialization_alias="capabilitiesBitmask")
    fid: str | None
    frid: str | None
    uid: str
    device_bind_time: str | None = Field(serialization_alias="deviceBindTime")
    device_bind_time_ts: int | None = Field(serialization_alias="deviceBindTimeTs")
    share_code: str | None = Field(serialization_alias="shareCode")


def device(found: user_devices.Device) -> Device:
    """Return a device in the API's format."""
    bound = None if found.bound_at is None else datetime.fromtimestamp(found.bound_at // 1000, UTC)
    return Device(
        product_key=found.product_key,
        device_key=found.device_key,
        device_name=found.name,
        product_name=found.product_name,
        sn=found.serial,
        auth_key=found.auth_key,
        online_status=int(found.online),
        device_status="Online" if found.online else "Offline",
        device_type=2 if found.shared else 1,
        bind_mode=found.mode,
        capabilities_bitmask=found.capabilities,
        fid=found.fid,
        frid=found.frid,
        uid=found.uid,
        device_bind_time=None if bound is None else f"{bound:%Y-%m-%d %H:%M:%S}",
        device_bind_time_ts=found.bound_at,
        share_code=found.share_code,
    )


NAVIGATED = 8


class Product(Reply):
    """A product whose devices the user can bind."""

    product_key: str = Field(serialization_alias="productKey")
    name: str


def product(found: items.Product) -> Product:
    """Return a product in the API's format."""
    return Product(product_key=found["product_key"], name=found["name"])


Entry = TypeVar("Entry")


class Page(Reply, Generic[Entry]):
    """A page in the format of PageHelper: numbers begin at 1, and 0 means none."""

    list: Sequence[Entry]
    total: int
    page_num: int = Field(serialization_alias="pageNum")
    page_size: int = Field(serialization_alias="pageSize")
    pages: int
    size: int
    start_row: int = Field(serialization_alias="startRow")
    end_row: int = Field(serialization_alias="endRow")
    pre_page: int = Field(serialization_alias="prePage")
    next_page: int = Field(serialization_alias="nextPage")
    is_first_page: bool = Field(serialization_alias="isFirstPage")
    is_last_page: bool = Field(serialization_alias="isLastPage")
    has_previous_page: bool = Field(serialization_alias="hasPreviousPage")
    has_next_page: bool = Field(serialization_alias="hasNextPage")
    navigate_pages: int = Field(default=NAVIGATED, serialization_alias="navigatePages")
    navigatepage_nums: Sequence[int] = Field(serialization_alias="navigatepageNums")
    navigate_first_page: int = Field(serialization_alias="navigateFirstPage")
    navigate_last_page: int = Field(serialization_alias="navigateLastPage")


class PageInfo(Page[Device]):
    """A page of devices in the format of PageHelper: numbers begin at 1, and 0 means none."""


class Products(Page[Product]):
    """A page of products in the format of PageHelper: numbers begin at 1, and 0 means none."""


Paged = TypeVar("Paged", bound=Page[Any])


def page_of(model: type[Paged], entries: Sequence[Reply], total: int, number: int, size: int) -> Paged:
    """Return page `number` of `size` entries in the API's format."""
    here, pages = len(entries), -(-total // size)
    first = max(1, min(number - NAVIGATED // 2, pages - NAVIGATED + 1))
    around = list(range(first, min(first + NAVIGATED, pages + 1)))
    start = (number - 1) * size + 1 if here else 0
    return model(
        list=entries,
        total=total,
        page_num=number,
        page_size=size,
        pages=pages,
        size=here,
        start_row=start,
        end_row=start + here - 1 if here else 0,
        pre_page=number - 1 if around else 0,
        next_page=number + 1 if number < pages else 0,
        is_first_page=number == 1,
        is_last_page=number == pages or pages == 0,
        has_previous_page=number > 1,
        has_next_page=number < pages,
        navigatepage_nums=around,
        navigate_first_page=around[0] if around else 0,
        navigate_last_page=around[-1] if around else 0,
    )


class AuthKey(Reply):
    """A binding's key."""

    auth_key: str = Field(serialization_alias="authKey")


class Done(Reply):
    """An empty object."""


class Envelope(BaseModel):
    """The envelope of every response."""

    code: int | str
    data: SerializeAsAny[Reply] | None = None
    ext_msg: str = Field(default="", serialization_alias="extMsg")
    msg: str = ""


def authenticate(call: Call, access: Access) -> Session:
    """Return the token's session. Raises `TOKEN_MISSING` and `TOKEN_INVALID`."""
    credential = call.header("authorization")
    if credential is None:
        raise Refused(Reason.TOKEN_MISSING)
    return sessions.verify(bare_token(credential), "quectel")


def bare_token(credential: str) -> str:
    """Return a token without its scheme: clients send it with and without `Bearer `."""
    scheme, _, token = credential.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else credential


def invalid(problems: Sequence[Problem], caller: Session) -> Refused:
    """Return the refusal of the first problem in `_NAMED`.

    Raises `TOKEN_INVALID`, `RATE_EXCEEDED` and `LOOKUP_FAILED`.
    """
    # The documented checks begin with the user.
    caller.look_up(Reason.LOOKUP_FAILED)
    found = {(problem.parameter, problem.flaw) for problem in problems}
    return Refused(next((reason for problem, reason in _NAMED.items() if problem in found), Reason.INVALID))


def success(reply: Reply, call: Call) -> Answer:
    """Return the envelope with code 200."""
    return Answer(reply.status, Envelope(code=200, data=reply).model_dump_json(by_alias=True), reply.headers())


def failure(fault: Refused, call: Call) -> Answer:
    """Return `{"code": …, "data": null, "extMsg": "", "msg": …}`."""
    row = REFUSALS[fault.reason]
    code, text = row.code, row.text
    if code == REFUSALS[Reason.BINDING_FAILED].code:
        code, text = _FAILED.get(call.event["rawPath"].rpartition("/")[2], (code, text))
    envelope = Envelope(code=code, msg=text)
    return Answer(row.status, envelope.model_dump_json(by_alias=True), row.headers_with(fault.detail))


class Login:
    """Dialect of logins, which take no token."""

    REFUSALS = REFUSALS
    CREDENTIALS: ClassVar[frozenset[Reason]] = frozenset()
    success = staticmethod(success)
    failure = staticmethod(failure)

    @staticmethod
    def authenticate(call: Call, access: Access) -> str:
        """Return the caller's IP address."""
        return call.source_ip

    @staticmethod
    def invalid(problems: Sequence[Problem], caller: str) -> Refused:
        """Refuse the first missing or malformed parameter as if its value were wrong."""
        names = {problem.parameter for problem in problems}
        return Refused(next((reason for name, reason in _LOGIN.items() if name in names), Reason.SIGNATURE_INVALID))


_LOGIN = {
    "userDomain": Reason.USER_DOMAIN_UNKNOWN,
    "random": Reason.SIGNATURE_INVALID,
    "signature": Reason.SIGNATURE_INVALID,
    "email": Reason.EMAIL_UNKNOWN,
    "internationalCode": Reason.PHONE_UNKNOWN,
    "phone": Reason.PHONE_UNKNOWN,
    "pwd": Reason.PASSWORD_WRONG,
}


class Refresh(Login):
    """Dialect of the operation that renews tokens. Every invalid request is an invalid token."""

    CREDENTIALS = frozenset({Reason.TOKEN_INVALID, Reason.RATE_EXCEEDED})

    @staticmethod
    def authenticate(call: Call, access: Access) -> str:
        """Return the token in the header, unchecked, or ""."""
        return bare_token(call.header("authorization") or "")

    @staticmethod
    def invalid(problems: Sequence[Problem], caller: str) -> Refused:
        """Refuse the token."""
        return Refused(Reason.TOKEN_INVALID)
