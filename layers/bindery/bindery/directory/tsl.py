"""Thing models of products (TSL, quectel): the properties that devices report and accept."""

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

from bindery import directory
from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

LIMIT = 256 * 1024
"""Bytes of JSON."""

EMPTY: Mapping[str, Any] = {"profile": {}, "properties": [], "services": [], "events": []}


def load(product_key: str, model: Mapping[str, Any]) -> None:
    """Set or replace a product's TSL. Raises `NOT_FOUND`, `INVALID` and `LIMIT_REACHED`."""
    try:
        text = json.dumps({**EMPTY, **model}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise Refused(Reason.INVALID, detail="A text is not Unicode, or a number is too large.") from None
    if len(text) > LIMIT:
        raise Refused(Reason.LIMIT_REACHED, detail=f"A TSL has at most {LIMIT // 1024} KiB.")
    # Compressed, because clients that poll a device make DynamoDB read it each time.
    stored: items.Tsl = {"compressed": base64.b64encode(zlib.compress(text)).decode(), "created_at": clock.now()}
    dynamodb.transact([items.product(product_key).check(directory.OPEN), items.tsl(product_key).put(stored)])


def exists(product_key: str) -> bool:
    """Return True if a product has a TSL."""
    return dynamodb.get(items.tsl(product_key)) is not None


def text(stored: items.Tsl | None) -> str:
    """Return a TSL as JSON, without properties if there is none."""
    if stored is None:
        return json.dumps(EMPTY, separators=(",", ":"))
    return zlib.decompress(base64.b64decode(stored["compressed"])).decode()


def properties(stored: items.Tsl | None) -> list[dict[str, Any]]:
    """Return a TSL's properties."""
    found: list[dict[str, Any]] = json.loads(text(stored))["properties"]
    return found


def accepts(described: Mapping[str, Any], value: Any) -> bool:
    """Return True if a property can be set to a value, which may also be text."""
    return "W" in described["subType"] and fits(described, value)


def fits(described: Mapping[str, Any] | None, value: Any) -> bool:
    """Return True if a property (None: unknown) can have a value, which may also be text."""
    if described is None:
        return False
    specs = described.get("specs") or {}
    limits = specs if isinstance(specs, dict) else {}
    options = specs if isinstance(specs, list) else []
    match described["dataType"]:
        case "BOOL":
            return str(value).lower() in _BOOLEANS
        case "ENUM":
            return str(value) in {str(option.get("value")) for option in options}
        case "INT" | "DATE":
            return _within(value, limits) and float(value).is_integer()
        case "FLOAT" | "DOUBLE":
            return _within(value, limits)
        case "TEXT":
            return isinstance(value, str)
        case "ARRAY":
            return isinstance(value, list)
    return isinstance(value, dict)


def typed(described: Mapping[str, Any], value: Any) -> Any:
    """Return a value that `fits` in the property's type: `true` for "1", 21 for "21"."""
    match described["dataType"]:
        case "BOOL":
            return _BOOLEANS[str(value).lower()]
        case "INT" | "DATE":
            return value if isinstance(value, int) else int(float(value))
        case "FLOAT" | "DOUBLE" if isinstance(value, str):
            return float(value)
    return value


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    number, low, high = (_number(each) for each in (value, limits.get("min"), limits.get("max")))
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    # Python's own rule also accepts underscores, spaces and the digits of other scripts.
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
