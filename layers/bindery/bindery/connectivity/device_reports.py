"""Properties that devices report, checked against their product's TSL."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.aws.expressions import absent, equals
from bindery.connectivity import device_connections
from bindery.core.errors import Reason, Refused
from bindery.directory import tsl
from bindery.registry import identity, items

CODE_LIMIT = 200
"""Properties that are kept of a device."""

SIZE_LIMIT = 16 * 1024
"""Bytes of their codes and values."""

_ATTEMPTS = 5


def record(link: device_connections.Link, values: Mapping[str, Any], at: int) -> list[str]:
    """Keep the values that a device reported at a time (milliseconds), unless it reported later ones.

    Return the codes that its product's TSL does not have, or not with such a value. Raises `DEVICE_BANNED`,
    `DEVICE_NOT_BOUND`, `NOT_FOUND` (replaced), `PRODUCT_UNKNOWN` (not quectel), `LIMIT_REACHED` and `CONFLICT`.
    """
    product_key = identity.parts(link.device).get("product_key")
    if product_key is None:
        raise Refused(Reason.PRODUCT_UNKNOWN)
    key, model = items.properties(link.device), items.tsl(product_key)
    for _ in range(_ATTEMPTS):
        found = device_connections.check(link, Read(key), Read(model))
        described = {each["code"]: each for each in tsl.properties(found[model])}
        fitting = {
            code: value for code, value in values.items() if code in described and tsl.fits(described[code], value)
        }
        kept = found[key]
        merged = _merged(kept, link.binding, fitting, at)
        if kept is None or merged != kept["values"] or kept["binding"] != link.binding:
            try:
                _write(key, kept, {"binding": link.binding, "values": merged, "version": uuid.uuid4().hex})
            except Refused as refused:
                if refused.reason is not Reason.CONFLICT:
                    raise
                continue
        return [code for code in values if code not in fitting]
    raise Refused(Reason.CONFLICT)


def _write(key: dynamodb.Key[items.Properties], kept: items.Properties | None, new: items.Properties) -> None:
    same = absent() if kept is None else equals("version", kept["version"])
    dynamodb.write(key.put(new, when=same.raises(Reason.CONFLICT)))


def _merged(
    kept: items.Properties | None, binding: str, values: Mapping[str, Any], at: int
) -> dict[str, items.Reported]:
    """Add values to those of the same binding. Raises `LIMIT_REACHED`."""
    merged = dict(kept["values"]) if kept is not None and kept["binding"] == binding else {}
    for code, value in values.items():
        # Messages may arrive in another order than they were sent.
        if code not in merged or merged[code]["at"] <= at:
            merged[code] = {"value": _text(value), "at": at}
    size = sum(len(code.encode()) + len(reported["value"].encode()) for code, reported in merged.items())
    if len(merged) > CODE_LIMIT or size > SIZE_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
    return merged


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
