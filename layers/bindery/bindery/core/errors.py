"""Reasons for refusing a request, which a dialect maps to HTTP responses."""

from enum import StrEnum, auto


class Reason(StrEnum):
    """Closed vocabulary of reasons."""

    # Common to all operations, which need not declare them.
    INTERNAL = auto()
    UNAVAILABLE = auto()
    CONFLICT = auto()
    MALFORMED = auto()
    INVALID = auto()
    PARAMETER_MISSING = auto()
    NO_ROUTE = auto()
    METHOD_NOT_ALLOWED = auto()

    # Credentials.
    KEY_MISSING = auto()
    KEY_UNKNOWN = auto()
    KEY_THROTTLED = auto()
    TOKEN_MISSING = auto()
    TOKEN_INVALID = auto()
    USER_UNKNOWN = auto()
    ACCESS_DENIED = auto()
    RATE_EXCEEDED = auto()

    # Login.
    USER_DOMAIN_UNKNOWN = auto()
    SIGNATURE_INVALID = auto()
    EMAIL_UNKNOWN = auto()
    PHONE_UNKNOWN = auto()
    PASSWORD_WRONG = auto()
    LOGIN_THROTTLED = auto()

    # Parameters with responses of their own.
    PRODUCT_KEY_MISSING = auto()
    SERIAL_MISSING = auto()
    NAME_MISSING = auto()
    NAME_TOO_LONG = auto()
    FAMILY_MISSING = auto()
    IDENTIFIER_MISSING = auto()
    SHARE_CODE_MISSING = auto()
    SHARE_MODE_UNKNOWN = auto()
    TIMESTAMP_INVALID = auto()
    QUERY_TYPE_MISSING = auto()
    COMMAND_TYPE_MISSING = auto()
    COMMAND_TYPE_UNKNOWN = auto()
    COMMAND_MISSING = auto()
    COMMAND_TOO_LONG = auto()
    DEVICES_MISSING = auto()
    TOO_MANY_DEVICES = auto()
    SHARING_TOO_SHORT = auto()
    NICKNAME_MISSING = auto()
    OPERATING_SYSTEM_MISSING = auto()

    # Permissions.
    DOMAIN_ABNORMAL = auto()
    ROLE_NOT_PERMITTED = auto()
    DOMAIN_NOT_AUTHORISED = auto()
    PRODUCT_FORBIDDEN = auto()
    HOME_MODE_OFF = auto()
    FAMILY_FORBIDDEN = auto()
    NOT_OWNER = auto()
    NOT_SHARED = auto()
    LOOK_THROTTLED = auto()
    SHARING_FORBIDDEN = auto()

    # Look-ups.
    PRODUCT_UNKNOWN = auto()
    TSL_UNKNOWN = auto()
    SERIAL_UNKNOWN = auto()
    SERIAL_THROTTLED = auto()
    BINDINGS_THROTTLED = auto()
    DEVICE_UNKNOWN = auto()
    SERVICE_UNKNOWN = auto()
    DEVICE_KEY_MISSING = auto()
    DEVICE_KEY_MALFORMED = auto()
    DATA_CENTER_MISMATCH = auto()

    # The state of a device or binding.
    DEVICE_BANNED = auto()
    DEVICE_INACTIVE = auto()
    ALREADY_BOUND = auto()
    DEVICE_NOT_BOUND = auto()
    SHARE_UNKNOWN = auto()
    SHARE_THROTTLED = auto()
    SHARING_SHORTENED = auto()
    SHARE_ACCEPTED = auto()
    BOUND_BY_ANOTHER = auto()
    COMMON_LIST_FULL = auto()
    IDENTIFIER_TAKEN = auto()
    NICKNAME_TAKEN = auto()
    STATUS_NOT_VALID = auto()
    PUSH_REGISTERED = auto()
    REGISTRATION_DISABLED = auto()

    # Requests at a connection's host name.
    NOT_HTTP = auto()
    UPGRADE_REQUESTED = auto()
    HEADERS_TOO_LONG = auto()
    BODY_TOO_LONG = auto()
    DEVICE_OFFLINE = auto()
    DEVICE_LEFT = auto()
    DEVICE_RESTARTED = auto()
    DEVICE_SILENT = auto()
    STREAM_RESET = auto()
    RESPONSE_MALFORMED = auto()
    RESPONSE_TOO_LONG = auto()
    TIMED_OUT = auto()

    # Unavailable tables, for an API that distinguishes these cases.
    SERIAL_LOOKUP_FAILED = auto()
    LOOKUP_FAILED = auto()
    BINDING_FAILED = auto()

    # Operators' requests.
    ALREADY_EXISTS = auto()
    NOT_FOUND = auto()
    LIMIT_REACHED = auto()


class Refused(Exception):
    """A refused request. The caller sees `detail`, which fills the dialect's text."""

    def __init__(self, reason: Reason, **detail: str) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


class HotKey(Refused):
    """DynamoDB throttles one key range, such as a tenant's item. Not an internal error."""

    def __init__(self, unavailable: Reason, throttled: str) -> None:
        super().__init__(Reason.CONFLICT if unavailable is Reason.UNAVAILABLE else unavailable)
        self.throttled = throttled
