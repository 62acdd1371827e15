"""Field types of request models."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from bindery.registry import identity

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_DIGITS = re.compile(r"\s*[0-9]{1,15}\s*", re.ASCII)
# Control characters, and lone surrogates, which cannot be encoded.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def place(wrong: "ErrorDetails") -> list[str]:
    """Return an error's location, without an unknown member's name, which may be a secret."""
    found = [str(part) for part in wrong["loc"]]
    return found[:-1] if wrong["type"] == "extra_forbidden" else found


STORED: Mapping[str, Any] = MappingProxyType({})
"""Validation context of stored values, not checked again."""


def as_identifier(value: str) -> str:
    """Refuse invisible characters: different identifiers would look the same."""
    if found := identity.deceptive(value):
        raise PydanticCustomError(
            "invisible", "contains the invisible character {character}: remove it", {"character": f"U+{ord(found):04X}"}
        )
    return value


def as_name(value: str) -> str:
    """Refuse a name without a visible character."""
    if not identity.visible(value):
        raise PydanticCustomError("nothing_visible", "has no visible character")
    return value


def _as_device(value: str) -> str:
    # Many devices have the same placeholder.
    if identity.is_placeholder(value):
        raise PydanticCustomError("placeholder", "a placeholder, which identifies no device")
    return value


def _segment(character: str) -> str:
    # Dots and other characters, except "." and "..", which clients resolve.
    return rf"^(\.{{0,2}}{character}|\.{{3}})(\.|{character})*$"


_EXPECTED = {
    _segment("[A-Za-z0-9_:@+-]"): "must be letters, digits and . _ : @ + - (1 to 128)",
    r"^[A-Za-z0-9_-]+$": "must be letters, digits, _ and -",
    r"^[A-Za-z0-9]{4,32}$": "must be 4 to 32 letters and digits",
    r"^[!-~]+$": "must be printable ASCII characters without spaces",
    r"\S": "must not be blank",
}


def expected(wrong: "ErrorDetails") -> str:
    """Describe an error, without the value or a regular expression."""
    if wrong["type"] == "string_pattern_mismatch":
        return _EXPECTED.get(wrong["ctx"]["pattern"], "has a character that is not allowed here")
    return wrong["msg"]


class _Bounded:
    def __init__(self, limit: int, *, identifies: bool = False) -> None:
        self.limit, self.identifies = limit, identifies

    def __call__(self, value: str, info: ValidationInfo) -> str:
        if info.context is STORED:
            return value
        value = value.strip()
        if not value:
            raise PydanticCustomError("missing", "blank")
        # The NFC form of an identifier becomes a key, and can be longer.
        if len(value) > self.limit or (self.identifies and len(unicodedata.normalize("NFC", value)) > self.limit):
            raise PydanticCustomError("string_too_long", "too long")
        if _UNPRINTABLE.search(value):
            raise PydanticCustomError("no_text", "a character that is no text")
        return as_identifier(value) if self.identifies else as_name(value)


_NAME_RULES = (
    "Surrounding white space is trimmed. Control characters are rejected. At least one character must be visible."
)
_IDENTIFIER_RULES = "Surrounding white space is trimmed. Control characters and invisible characters are rejected."


def _text_schema(limit: int, description: str = _NAME_RULES) -> Any:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "description": description})


def _optional_schema(*options: dict[str, Any]) -> Any:
    return WithJsonSchema({"anyOf": [*options, {"type": "string", "maxLength": 0}, {"type": "null"}]})


def _optional_text_schema(limit: int, description: str = _NAME_RULES) -> Any:
    text = {"type": "string", "maxLength": limit, "description": f"{description} Blank is the same as absent."}
    return WithJsonSchema({"anyOf": [text, {"type": "null"}]})


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _trimmed(value: Any) -> Any:
    return value.strip() or None if isinstance(value, str) else value


def _normalized(parse: Callable[[str], str | None]) -> AfterValidator:

    def check(value: str) -> str:
        parsed = parse(value)
        if parsed is None:
            raise PydanticCustomError("spelling", "not of this kind")
        return parsed

    return AfterValidator(check)


def _normalized_or_empty(parse: Callable[[str], str | None]) -> BeforeValidator:
    return BeforeValidator(lambda value: (parse(value) if isinstance(value, str) else None) or "")


def _flag(value: Any) -> Any:
    value = _blank_as_none(value)
    return {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


def _digits(value: Any) -> Any:
    value = _blank_as_none(value)
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def digits(*, blank: int) -> BeforeValidator:
    """Convert up to 15 digits to their number."""

    def parse(value: Any) -> Any:
        found = _digits(value)
        return blank if found is None else found

    return BeforeValidator(parse)


Text64 = Annotated[str, Strict(), AfterValidator(_Bounded(64)), _text_schema(64)]
Text128 = Annotated[str, Strict(), AfterValidator(_Bounded(128)), _text_schema(128)]
Text254 = Annotated[str, Strict(), AfterValidator(_Bounded(254)), _text_schema(254)]
Text512 = Annotated[str, Strict(), AfterValidator(_Bounded(512)), _text_schema(512)]

Identifier64 = Annotated[
    str, Strict(), AfterValidator(_Bounded(64, identifies=True)), _text_schema(64, _IDENTIFIER_RULES)
]
Identifier128 = Annotated[
    str, Strict(), AfterValidator(_Bounded(128, identifies=True)), _text_schema(128, _IDENTIFIER_RULES)
]
"""Text that may become part of a key."""
Identifier1366 = Annotated[
    str, Strict(), AfterValidator(_Bounded(1366, identifies=True)), _text_schema(1366, _IDENTIFIER_RULES)
]
"""Any identifier, of which the longest is a device's id."""
DeviceIdentifier = Annotated[Identifier128, AfterValidator(_as_device)]
"""Identifier that a device reports."""


def _verbatim(value: str) -> str:
    if not value:
        raise PydanticCustomError("missing", "empty")
    if _UNPRINTABLE.search(value):
        raise PydanticCustomError("no_text", "a character that is no text")
    return value


VERBATIM = r"^[^\x00-\x1f\x7f-\x9f]*$"


def _verbatim_schema(limit: int) -> Any:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "pattern": VERBATIM})


Verbatim512 = Annotated[str, Strict(), Field(max_length=512), AfterValidator(_verbatim), _verbatim_schema(512)]
"""Text that is not trimmed."""
Verbatim2048 = Annotated[str, Strict(), Field(max_length=2048), AfterValidator(_verbatim), _verbatim_schema(2048)]


# Without "?", until a deployment shows that HTTP API passes it on in a path.
_SEGMENT = _segment("[^./?]")


def _path_segment(value: str) -> str:
    if not re.fullmatch(_SEGMENT, value):
        raise PydanticCustomError("segment", "cannot stand in a path")
    return value


DeviceSegment = Annotated[DeviceIdentifier, AfterValidator(_path_segment)]

OptionalIdentifier64 = Annotated[
    Identifier64 | None, BeforeValidator(_blank_as_none), _optional_text_schema(64, _IDENTIFIER_RULES)
]
OptionalIdentifier128 = Annotated[
    Identifier128 | None, BeforeValidator(_blank_as_none), _optional_text_schema(128, _IDENTIFIER_RULES)
]

OptionalText128 = Annotated[Text128 | None, BeforeValidator(_blank_as_none), _optional_text_schema(128)]
OptionalText254 = Annotated[Text254 | None, BeforeValidator(_blank_as_none), _optional_text_schema(254)]
OptionalText512 = Annotated[Text512 | None, BeforeValidator(_blank_as_none), _optional_text_schema(512)]

CUSTOMER_LIMIT = 256
# With the prefix `customer#`, the 1,024 bytes that the sort key of an index can have.
_CUSTOMER_BYTES = 1015


def is_customer(name: object) -> TypeGuard[str]:
    """Return True if this may be a customer's name, untrimmed."""
    if not isinstance(name, str) or not name.isprintable() or not name.strip() or identity.deceptive(name):
        return False
    return len(name) <= CUSTOMER_LIMIT and len(name.encode()) <= _CUSTOMER_BYTES


def _customer(value: str) -> str:
    if not is_customer(value):
        raise PydanticCustomError("customer", "no customer's name: up to 256 printable characters, not blanks alone")
    return value


Customer = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=False),
    AfterValidator(_customer),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": CUSTOMER_LIMIT,
            "description": "Printable characters, not only spaces. Surrounding spaces are significant.",
        }
    ),
]
"""Exactly as in the issuer's tokens."""

ID: Any = {"min_length": 1, "max_length": 128, "pattern": _segment("[A-Za-z0-9_:@+-]")}
"""For identifiers that operators choose and use in paths."""
ID64: Any = ID | {"max_length": 64}
"""For those that quectel's clients send too."""

DATA_CENTER: Any = {"min_length": 1, "max_length": 32, "pattern": r"^[A-Za-z0-9_-]+$"}

EMAIL_LIMIT = 254
"""Bytes of a folded address (RFC 5321, 4.5.3.1.3)."""


def _short_folded(value: str) -> str:
    # Folding can make a text longer.
    if len(identity.folded(value).encode()) > EMAIL_LIMIT:
        raise PydanticCustomError("string_too_long", "too long")
    return value


def _as_email(value: str) -> str:
    local, at, domain = value.partition("@")
    if not (local and at and domain) or "@" in domain or _UNPRINTABLE.search(value) or re.search(r"\s", value):
        raise PydanticCustomError("email", "not an email address, such as ada@example.com")
    return as_identifier(_short_folded(value))


Email = Annotated[
    str,
    Field(max_length=EMAIL_LIMIT),
    AfterValidator(_as_email),
    WithJsonSchema({"type": "string", "maxLength": EMAIL_LIMIT, "pattern": "^[^@]+@[^@]+$"}),
]
"""Only the form is checked."""


def _as_phone(value: str) -> str:
    number = identity.phone(value)
    if number is None:
        raise PydanticCustomError("phone", "not a phone number with its country code, such as +44 7700 900123")
    return number


Phone = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_as_phone),
    WithJsonSchema({"type": "string", "maxLength": 64, "pattern": r"^\+[0-9 ().-]+$"}),
]

LoginName = Annotated[Text254, AfterValidator(_short_folded)]
VerbatimEmail = Annotated[Verbatim512, AfterValidator(_short_folded)]

ServiceAddress = Annotated[
    Identifier64,
    _normalized(identity.service_address),
    WithJsonSchema({"type": "string", "pattern": "^([0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}$"}),
]
KnownServiceAddress = Annotated[str, _normalized_or_empty(identity.service_address)]
KnownConnectionId = Annotated[str, _normalized_or_empty(identity.connection_id)]
"""Empty if malformed, to be refused like an unknown one."""
IpAddress = Annotated[Identifier64, _normalized(identity.ip_address)]
OptionalIpAddress = Annotated[
    IpAddress | None,
    BeforeValidator(_blank_as_none),
    _optional_schema({"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}),
]

Trimmed = BeforeValidator(_trimmed)

OptionalFlag = Annotated[
    Annotated[bool, Strict()] | None,
    BeforeValidator(_flag),
    _optional_schema(
        {"type": "boolean"},
        {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"},
    ),
]
"""JSON boolean, or `true` or `false` in any case."""


def _switch(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
    return {"0": False, "1": True}.get(str(value), value) if isinstance(value, int | str) else value


OptionalSwitch = Annotated[
    OptionalFlag,
    BeforeValidator(_switch),
    _optional_schema(
        {"type": "boolean"},
        {"type": "integer", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": "^([01]|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"},
    ),
]
"""As `OptionalFlag`, or 1 or 0 as a number or text."""

OptionalBits4 = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=15)] | None,
    BeforeValidator(_digits),
    _optional_schema(
        {"type": "integer", "minimum": 1, "maximum": 15},
        {"type": "string", "pattern": "^0*([1-9]|1[0-5])$"},
    ),
]
"""Four flags, not all unset."""

Digits = BeforeValidator(_digits)

OptionalWhole = Annotated[Annotated[int, Strict(), Field(ge=1, le=10**15)] | None, Digits]
