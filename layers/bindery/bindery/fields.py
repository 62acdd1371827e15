"""Field types of request models: text as every dialect takes it, trimmed, not blank, bounded, no control codes."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Strict
from pydantic_core import PydanticCustomError

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of a surrogate pair, which cannot be encoded and so neither stored nor shown."""


class _Bounded:
    """Trim a text and hold it to `limit` characters."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, value: str) -> str:
        value = value.strip()
        if not value:
            raise PydanticCustomError("missing", "blank")
        if len(value) > self.limit:
            raise PydanticCustomError("string_too_long", "too long")
        if _NO_TEXT.search(value):
            raise PydanticCustomError("no_text", "a character that is no text")
        return value


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Text64 = Annotated[str, Strict(), AfterValidator(_Bounded(64))]
Text128 = Annotated[str, Strict(), AfterValidator(_Bounded(128))]
Text254 = Annotated[str, Strict(), AfterValidator(_Bounded(254))]
Text512 = Annotated[str, Strict(), AfterValidator(_Bounded(512))]

OptionalText64 = Annotated[Text64 | None, BeforeValidator(_blank_as_none)]
OptionalText128 = Annotated[Text128 | None, BeforeValidator(_blank_as_none)]
OptionalText254 = Annotated[Text254 | None, BeforeValidator(_blank_as_none)]
OptionalText512 = Annotated[Text512 | None, BeforeValidator(_blank_as_none)]
