"""DynamoDB attribute values and cursors."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from bindery.core.errors import Reason, Refused


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Encode an item or an expression's values."""
    return {name: _encode_value(value) for name, value in item.items()}


def _encode_value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case int():
            return {"N": str(value)}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [_encode_value(element) for element in value]}
        case dict():
            return {"M": encode(value)}
    raise TypeError(f"cannot store a {type(value).__name__} in DynamoDB")


def decode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Decode an item."""
    return {name: _decode_value(value) for name, value in item.items()}


def _decode_value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    match kind:
        case "S" | "BOOL":
            return content
        case "N":
            return int(content)
        case "B":
            # The SDK decodes it.
            return content if isinstance(content, bytes) else base64.b64decode(content)
        case "NULL":
            return None
        case "SS":
            return set(content)
        case "L":
            return [_decode_value(element) for element in content]
        case "M":
            return decode(content)
    raise TypeError(f"unexpected DynamoDB type {kind}")


def cursor_of(key: Mapping[str, Any]) -> str:
    """Encode a key as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def key_of(cursor: str) -> dict[str, Any]:
    """Decode a cursor. Raises `INVALID`."""
    try:
        place = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID) from None
    if not isinstance(place, dict) or not all(
        isinstance(value, dict) and list(value) == ["S"] and isinstance(value["S"], str) for value in place.values()
    ):
        raise Refused(Reason.INVALID)
    return place
