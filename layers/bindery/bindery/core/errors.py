"""Why a request can be refused: one closed vocabulary for rules, dialects and operations.

Rules raise `Refused(reason)` and know nothing of HTTP; a dialect's table says what each reason becomes on its wire.
"""

from enum import StrEnum, auto


class Reason(StrEnum):
    """Every reason for which any operation may refuse. A dialect answers those that it can meet."""

    # The door's own: any operation of any dialect may answer these without declaring them.
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
    ACCESS_DENIED = auto()

    # Logging in.
    USER_DOMAIN_UNKNOWN = auto()
    SIGNATURE_INVALID = auto()
    EMAIL_UNKNOWN = auto()
    PASSWORD_WRONG = auto()
    LOGIN_THROTTLED = auto()

    # Parameters that a dialect names one by one.
    PRODUCT_KEY_MISSING = auto()
    SERIAL_MISSING = auto()
    NAME_MISSING = auto()
    NAME_TOO_LONG = auto()
    FAMILY_MISSING = auto()
    IDENTIFIER_MISSING = auto()
    SHARE_CODE_MISSING = auto()
    SHARE_MODE_UNKNOWN = auto()
    TIMESTAMP_INVALID = auto()
    SHARING_TOO_SHORT = auto()
    NICKNAME_MISSING = auto()
    OPERATING_SYSTEM_MISSING = auto()

    # What the caller may do.
    DOMAIN_ABNORMAL = auto()
    ROLE_NOT_PERMITTED = auto()
    DOMAIN_NOT_AUTHORISED = auto()
    PRODUCT_FORBIDDEN = auto()
    HOME_MODE_OFF = auto()
    FAMILY_FORBIDDEN = auto()
    NOT_SHARED = auto()
    LOOK_THROTTLED = auto()
    SHARING_FORBIDDEN = auto()

    # What exists.
    PRODUCT_UNKNOWN = auto()
    SERIAL_UNKNOWN = auto()
    SERIAL_THROTTLED = auto()
    BINDINGS_THROTTLED = auto()
    DEVICE_UNKNOWN = auto()
    DEVICE_KEY_MISSING = auto()
    DEVICE_KEY_MALFORMED = auto()
    DATA_CENTER_MISMATCH = auto()

    # The state of a device or a binding.
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

    # The registry itself.
    SERIAL_LOOKUP_FAILED = auto()
    LOOKUP_FAILED = auto()
    BINDING_FAILED = auto()

    # What an operator's own entry can run into.
    ALREADY_EXISTS = auto()
    NOT_FOUND = auto()
    LIMIT_REACHED = auto()


class Refused(Exception):
    """A refusal: `reason`, and the names that the dialect's text for it may show.

    `detail` fills the placeholders of that text; it is shown to the caller, so it holds nothing secret or internal.
    """

    def __init__(self, reason: Reason, **detail: str) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


class HotKey(Refused):
    """A refusal because DynamoDB throttles one key range, such as one tenant's item. Everything else is served.

    Like a conflict, it is no internal error. `throttled` is DynamoDB's name for what it throttled.
    """

    def __init__(self, unavailable: Reason, throttled: str) -> None:
        super().__init__(Reason.CONFLICT if unavailable is Reason.UNAVAILABLE else unavailable)
        self.throttled = throttled
