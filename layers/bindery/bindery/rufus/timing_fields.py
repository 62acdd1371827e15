"""Field types of timing sessions and passings (rufus)."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from bindery.http.fields import OptionalText128, Text128

Hexadecimal = Annotated[Text128, AfterValidator(str.upper)]
"""A deviceid or a session's token. An invalid one matches nothing."""


def _milliseconds(value: Any) -> int:
    moment = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value.upper() else None
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.timestamp() < 0:
        raise PydanticCustomError("moment", "no time since 1970")
    return round(moment.timestamp() * 1000)


Moment = Annotated[int, BeforeValidator(_milliseconds), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time since 1970, as milliseconds."""


def _as_text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


Coordinate = Annotated[OptionalText128, BeforeValidator(_as_text)]
"""A text or number."""
