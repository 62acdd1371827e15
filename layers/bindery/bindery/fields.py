"""Field types of request models: text as every dialect takes it, trimmed, not blank, bounded, no control codes."""

import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from bindery import identity

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_DIGITS = re.compile(r"\s*[0-9]{1,15}\s*", re.ASCII)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of a surrogate pair, which cannot be encoded and so neither stored nor shown."""


_BLANK = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What is trimmed, as the API's document says it: `\\s` means something else in every language."""


def place(wrong: "ErrorDetails") -> list[str]:
    """Where in a request something is wrong, without the caller's own text: a secret may stand for a member's name."""
    found = [str(part) for part in wrong["loc"]]
    return found[:-1] if wrong["type"] == "extra_forbidden" else found


class _Bounded:
    """Trim a text and hold it to `limit` characters, with `key` in the form that becomes a key too."""

    def __init__(self, limit: int, *, key: bool) -> None:
        self.limit, self.key = limit, key

    def __call__(self, value: str) -> str:
        value = value.strip()
        if not value:
            raise PydanticCustomError("missing", "blank")
        # Composing can make a text longer.
        if len(value) > self.limit or (self.key and len(unicodedata.normalize("NFC", value)) > self.limit):
            raise PydanticCustomError("string_too_long", "too long")
        if _NO_TEXT.search(value):
            raise PydanticCustomError("no_text", "a character that is no text")
        return value


def _text(limit: int) -> dict[str, Any]:
    """The same as the API's document says it: after trimming not blank, not longer, and no control character."""
    outer, inner = rf"[^{_BLANK}\x00-\x1f\x7f-\x9f]", r"[^\x00-\x1f\x7f-\x9f]"
    return {
        "type": "string",
        "minLength": 1,
        "pattern": rf"^[{_BLANK}]*{outer}({inner}{{0,{limit - 2}}}{outer})?[{_BLANK}]*$",
    }


def _told(limit: int) -> Any:
    """What the API's document says of such a text."""
    return WithJsonSchema(_text(limit))


def _told_optional(*options: dict[str, Any]) -> Any:
    """What the API's document says of a value that may be blank or null instead."""
    return WithJsonSchema({"anyOf": [*options, {"type": "string", "pattern": f"^[{_BLANK}]*$"}, {"type": "null"}]})


def _told_optional_text(limit: int) -> Any:
    return _told_optional(_text(limit))


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


Text64 = Annotated[str, Strict(), AfterValidator(_Bounded(64, key=True)), _told(64)]
Text128 = Annotated[str, Strict(), AfterValidator(_Bounded(128, key=True)), _told(128)]
"""Of these two, what identifies something may become a key."""
Text254 = Annotated[str, Strict(), AfterValidator(_Bounded(254, key=False)), _told(254)]
Text512 = Annotated[str, Strict(), AfterValidator(_Bounded(512, key=False)), _told(512)]


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


def _segment(character: str) -> str:
    """The pattern of a segment of a path, of dots and other characters: not "." or "..", which clients resolve."""
    return rf"^(\.{{0,2}}{character}|\.{{3}})(\.|{character})*$"


_SEGMENT = _segment("[^./]")


def _named(value: str) -> str:
    if not re.fullmatch(_SEGMENT, value):
        raise PydanticCustomError("segment", "cannot stand in a path")
    return value


Segment128 = Annotated[Text128, AfterValidator(_named)]
"""A text that can be a segment of a path: routes are found by the decoded path, where a slash would part it."""

OptionalText64 = Annotated[Text64 | None, BeforeValidator(_blank_as_none), _told_optional_text(64)]
OptionalText128 = Annotated[Text128 | None, BeforeValidator(_blank_as_none), _told_optional_text(128)]
OptionalText254 = Annotated[Text254 | None, BeforeValidator(_blank_as_none), _told_optional_text(254)]
OptionalText512 = Annotated[Text512 | None, BeforeValidator(_blank_as_none), _told_optional_text(512)]

CUSTOMER_LIMIT = 256
"""Characters of a customer's name at most."""
_CUSTOMER_BYTES = 1015
"""Of UTF-8: with `customer#` before it, as long a key as an index takes."""


def is_customer(name: object) -> TypeGuard[str]:
    """Whether this may name a bank's customer: printable, not blank, and to the letter what the issuer's claim says."""
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
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
            "pattern": rf"^[^\x00-\x1f\x7f-\x9f]*[^{_BLANK}\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
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


_EMAIL = rf"[^@{_BLANK}\x00-\x1f\x7f-\x9f]+"
Email = Annotated[str, Field(max_length=EMAIL_LIMIT, pattern=f"^{_EMAIL}@{_EMAIL}$"), AfterValidator(_short_folded)]
"""An email address, as far as its form tells."""

LoginName = Annotated[Text254, AfterValidator(_short_folded)]
"""What somebody logs in with: a name, if it is one, no longer than an email address."""
VerbatimEmail = Annotated[Verbatim512, AfterValidator(_short_folded)]
"""The same with every character as it was sent."""

ServiceAddress = Annotated[
    Text64,
    _spelled(identity.service_address),
    WithJsonSchema({"type": "string", "pattern": rf"^[{_BLANK}]*([0-9A-Fa-f]{{2}}:){{7}}[0-9A-Fa-f]{{2}}[{_BLANK}]*$"}),
]
KnownServiceAddress = Annotated[str, _known(identity.service_address)]
KnownConnectionId = Annotated[str, _known(identity.connection_id)]
"""Of these whatever cannot be one is "", which names nothing: it is not refused for its form."""
IpAddress = Annotated[Text64, _spelled(identity.ip_address)]
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
        {"type": "string", "pattern": rf"^[{_BLANK}]*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])[{_BLANK}]*$"},
    ),
]
"""A JSON boolean, or `true` or `false` as text in any case."""

OptionalBits4 = Annotated[
    Annotated[int, Strict(), Field(ge=1, le=15)] | None,
    BeforeValidator(_digits),
    _told_optional(
        {"type": "integer", "minimum": 1, "maximum": 15},
        {"type": "string", "pattern": r"^[\t-\r ]*0*([1-9]|1[0-5])[\t-\r ]*$"},
    ),
]
"""Up to four flags, at least one of them set: 1 to 15, as a JSON number or in decimal digits."""

Digits = BeforeValidator(_digits)
"""Before an optional number: decimal digits as the number, and None where it is blank."""

OptionalWhole = Annotated[Annotated[int, Strict(), Field(ge=1, le=10**15)] | None, Digits]
"""A whole number from 1, as a JSON number or in decimal digits."""
