"""Field types of request models: text as every dialect takes it, trimmed, not blank, bounded, no control codes."""

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
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of a surrogate pair, which cannot be encoded and so neither stored nor shown."""


def place(wrong: "ErrorDetails") -> list[str]:
    """Where in a request something is wrong, without the caller's own text: a secret may stand for a member's name."""
    found = [str(part) for part in wrong["loc"]]
    return found[:-1] if wrong["type"] == "extra_forbidden" else found


STORED: Mapping[str, Any] = MappingProxyType({})
"""The validation context of a stored record: rules for new values do not apply to it."""


def as_identifier(value: str) -> str:
    """Refuse a character that nobody sees: the same text with and without it would identify two things."""
    if found := identity.deceptive(value):
        raise PydanticCustomError(
            "invisible", "contains the invisible character {character}: remove it", {"character": f"U+{ord(found):04X}"}
        )
    return value


def as_name(value: str) -> str:
    """Refuse a name in which there is nothing to see."""
    if not identity.visible(value):
        raise PydanticCustomError("nothing_visible", "has no visible character")
    return value


def _as_device(value: str) -> str:
    """Refuse what platforms hand out in place of an identifier: many devices would have it."""
    if identity.is_placeholder(value):
        raise PydanticCustomError("placeholder", "a placeholder, which identifies no device")
    return value


def _segment(character: str) -> str:
    """The pattern of a segment of a path, of dots and other characters: not "." or "..", which clients resolve."""
    return rf"^(\.{{0,2}}{character}|\.{{3}})(\.|{character})*$"


_EXPECTED = {
    _segment("[A-Za-z0-9_:@+-]"): "must be letters, digits and . _ : @ + - (1 to 128)",
    r"^[A-Za-z0-9_-]+$": "must be letters, digits, _ and -",
    r"^[A-Za-z0-9]{4,32}$": "must be 4 to 32 letters and digits",
    r"^[!-~]+$": "must be printable ASCII characters without spaces",
    r"\S": "must not be blank",
}
"""What the patterns of operators' values mean."""


def expected(wrong: "ErrorDetails") -> str:
    """A sentence about a value that is wrong, without the value and without a regular expression."""
    if wrong["type"] == "string_pattern_mismatch":
        return _EXPECTED.get(wrong["ctx"]["pattern"], "has a character that is not allowed here")
    return wrong["msg"]


class _Bounded:
    """Trim a text and hold it to `limit` characters: a name, or an identifier, whose NFC form becomes a key."""

    def __init__(self, limit: int, *, identifies: bool = False) -> None:
        self.limit, self.identifies = limit, identifies

    def __call__(self, value: str, info: ValidationInfo) -> str:
        if info.context is STORED:
            return value
        value = value.strip()
        if not value:
            raise PydanticCustomError("missing", "blank")
        # Composing can make a text longer.
        if len(value) > self.limit or (self.identifies and len(unicodedata.normalize("NFC", value)) > self.limit):
            raise PydanticCustomError("string_too_long", "too long")
        if _NO_TEXT.search(value):
            raise PydanticCustomError("no_text", "a character that is no text")
        return as_identifier(value) if self.identifies else as_name(value)


_OF_NAMES = "Surrounding white space is trimmed. Control characters are refused, and one character must be visible."
_OF_IDENTIFIERS = "Surrounding white space is trimmed. Control characters and invisible characters are refused."


def _told(limit: int, sentence: str = _OF_NAMES) -> Any:
    """What the API's document says of a text."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "description": sentence})


def _told_optional(*options: dict[str, Any]) -> Any:
    """What the API's document says of a value that may be blank or null instead."""
    return WithJsonSchema({"anyOf": [*options, {"type": "string", "maxLength": 0}, {"type": "null"}]})


def _told_optional_text(limit: int, sentence: str = _OF_NAMES) -> Any:
    """What the API's document says of a text that may be blank or null instead."""
    text = {"type": "string", "maxLength": limit, "description": f"{sentence} Blank is the same as absent."}
    return WithJsonSchema({"anyOf": [text, {"type": "null"}]})


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _trimmed(value: Any) -> Any:
    return value.strip() or None if isinstance(value, str) else value


def _spelled(parse: Callable[[str], str | None]) -> AfterValidator:
    """A text in the one spelling that `parse` gives it, refused where that is None."""

    def check(value: str) -> str:
        parsed = parse(value)
        if parsed is None:
            raise PydanticCustomError("spelling", "not of this kind")
        return parsed

    return AfterValidator(check)


def _known(parse: Callable[[str], str | None]) -> BeforeValidator:
    """The one spelling that `parse` gives to a value, and "" for any that it has none for."""
    return BeforeValidator(lambda value: (parse(value) if isinstance(value, str) else None) or "")


def _flag(value: Any) -> Any:
    value = _blank_as_none(value)
    return {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


def _digits(value: Any) -> Any:
    value = _blank_as_none(value)
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value


def digits(*, blank: int) -> BeforeValidator:
    """Before a whole number: up to fifteen decimal digits as their number, and `blank` where there is nothing."""

    def parse(value: Any) -> Any:
        found = _digits(value)
        return blank if found is None else found

    return BeforeValidator(parse)


Text64 = Annotated[str, Strict(), AfterValidator(_Bounded(64)), _told(64)]
Text128 = Annotated[str, Strict(), AfterValidator(_Bounded(128)), _told(128)]
Text254 = Annotated[str, Strict(), AfterValidator(_Bounded(254)), _told(254)]
Text512 = Annotated[str, Strict(), AfterValidator(_Bounded(512)), _told(512)]
"""Texts that people read."""

Identifier64 = Annotated[str, Strict(), AfterValidator(_Bounded(64, identifies=True)), _told(64, _OF_IDENTIFIERS)]
Identifier128 = Annotated[str, Strict(), AfterValidator(_Bounded(128, identifies=True)), _told(128, _OF_IDENTIFIERS)]
"""Texts that identify something and may become a key."""
DeviceIdentifier = Annotated[Identifier128, AfterValidator(_as_device)]
"""What a device says that it is."""


def _verbatim(value: str) -> str:
    if not value:
        raise PydanticCustomError("missing", "empty")
    if _NO_TEXT.search(value):
        raise PydanticCustomError("no_text", "a character that is no text")
    return value


VERBATIM = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Which characters such a text has, as a pattern."""


def _told_verbatim(limit: int) -> Any:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "pattern": VERBATIM})


Verbatim512 = Annotated[str, Strict(), Field(max_length=512), AfterValidator(_verbatim), _told_verbatim(512)]
"""A text whose every character counts: it is not trimmed, and blanks alone are a text too."""
Verbatim2048 = Annotated[str, Strict(), Field(max_length=2048), AfterValidator(_verbatim), _told_verbatim(2048)]
"""The same, with room for the longest password when it is encrypted and in base64."""


_SEGMENT = _segment("[^./]")


def _named(value: str) -> str:
    if not re.fullmatch(_SEGMENT, value):
        raise PydanticCustomError("segment", "cannot stand in a path")
    return value


DeviceSegment = Annotated[DeviceIdentifier, AfterValidator(_named)]
"""One that can be a segment of a path: routes are found by the decoded path, where a slash would part it."""

OptionalIdentifier64 = Annotated[
    Identifier64 | None, BeforeValidator(_blank_as_none), _told_optional_text(64, _OF_IDENTIFIERS)
]
OptionalIdentifier128 = Annotated[
    Identifier128 | None, BeforeValidator(_blank_as_none), _told_optional_text(128, _OF_IDENTIFIERS)
]

OptionalText128 = Annotated[Text128 | None, BeforeValidator(_blank_as_none), _told_optional_text(128)]
OptionalText254 = Annotated[Text254 | None, BeforeValidator(_blank_as_none), _told_optional_text(254)]
OptionalText512 = Annotated[Text512 | None, BeforeValidator(_blank_as_none), _told_optional_text(512)]

CUSTOMER_LIMIT = 256
"""Characters of a customer's name at most."""
_CUSTOMER_BYTES = 1015
"""Of UTF-8: with `customer#` before it, as long a key as an index takes."""


def is_customer(name: object) -> TypeGuard[str]:
    """Whether this may name a bank's customer: printable, not blank, and to the letter what the issuer's claim says."""
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
            "description": "Printable characters, not blanks alone. Surrounding blanks count.",
        }
    ),
]
"""A bank's customer as an operator names them: whoever a token can name, blanks at the ends included."""

ID: Any = {"min_length": 1, "max_length": 128, "pattern": _segment("[A-Za-z0-9_:@+-]")}
"""What holds of an identifier that operators choose: it will stand in paths."""
ID64: Any = ID | {"max_length": 64}
"""The same of one that quectel's clients name: a product, a family, a room."""

DATA_CENTER: Any = {"min_length": 1, "max_length": 32, "pattern": r"^[A-Za-z0-9_-]+$"}
"""What holds of a data center (quectel), the stack's parameter too."""

EMAIL_LIMIT = 254
"""Bytes of an email address (RFC 5321, 4.5.3.1.3), in the form that becomes a key: folding can make a text longer."""


def _short_folded(value: str) -> str:
    if len(identity.folded(value).encode()) > EMAIL_LIMIT:
        raise PydanticCustomError("string_too_long", "too long")
    return value


def _as_email(value: str) -> str:
    """Refuse what has no `@` between two parts, and blanks, control and invisible characters anywhere."""
    local, at, domain = value.partition("@")
    if not (local and at and domain) or "@" in domain or _NO_TEXT.search(value) or re.search(r"\s", value):
        raise PydanticCustomError("email", "not an email address, such as ada@example.com")
    return as_identifier(_short_folded(value))


Email = Annotated[
    str,
    Field(max_length=EMAIL_LIMIT),
    AfterValidator(_as_email),
    WithJsonSchema({"type": "string", "maxLength": EMAIL_LIMIT, "pattern": "^[^@]+@[^@]+$"}),
]
"""An email address, as far as its form tells."""

LoginName = Annotated[Text254, AfterValidator(_short_folded)]
"""What somebody logs in with: a name, if it is one, no longer than an email address."""
VerbatimEmail = Annotated[Verbatim512, AfterValidator(_short_folded)]
"""The same with every character as it was sent."""

ServiceAddress = Annotated[
    Identifier64,
    _spelled(identity.service_address),
    WithJsonSchema({"type": "string", "pattern": "^([0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}$"}),
]
KnownServiceAddress = Annotated[str, _known(identity.service_address)]
KnownConnectionId = Annotated[str, _known(identity.connection_id)]
"""Of these whatever cannot be one is "", which names nothing: it is not refused for its form."""
IpAddress = Annotated[Identifier64, _spelled(identity.ip_address)]
OptionalIpAddress = Annotated[
    IpAddress | None,
    BeforeValidator(_blank_as_none),
    _told_optional({"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}),
]

Trimmed = BeforeValidator(_trimmed)
"""Before an optional choice of words: trimmed, and None where it is blank."""

OptionalFlag = Annotated[
    Annotated[bool, Strict()] | None,
    BeforeValidator(_flag),
    _told_optional(
        {"type": "boolean"},
        {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"},
    ),
]
"""A JSON boolean, or `true` or `false` as text in any case."""

OptionalBits4 = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=15)] | None,
    BeforeValidator(_digits),
    _told_optional(
        {"type": "integer", "minimum": 1, "maximum": 15},
        {"type": "string", "pattern": "^0*([1-9]|1[0-5])$"},
    ),
]
"""Up to four flags, at least one of them set: 1 to 15, as a JSON number or in decimal digits."""

Digits = BeforeValidator(_digits)
"""Before an optional number: decimal digits as the number, and None where it is blank."""

OptionalWhole = Annotated[Annotated[int, Strict(), Field(ge=1, le=10**15)] | None, Digits]
"""A whole number from 1, as a JSON number or in decimal digits."""
