"""Properties that devices report, checked against their product's TSL."""

import json
from collections.abc import Mapping
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.aws.expressions import Condition, absent, at_most, equals, every
from bindery.connectivity import device_connections
from bindery.core.errors import Reason, Refused
from bindery.directory import tsl
from bindery.registry import identity, items

REPORT_LIMIT = 50
"""Values of a report: each is part of the condition of its write."""

CODE_LIMIT = 200
"""Properties that are kept of a device."""

SIZE_LIMIT = 16 * 1024
"""Bytes of their codes and values."""

_ATTEMPTS = 10
_SAME_TIME = 1_000_000


def record(link: device_connections.Link, values: Mapping[str, Any], at: int, number: int) -> list[str]:
    """Keep the values that a device reported at a time (milliseconds), unless it reported later ones.

    Return the codes that its product's TSL does not have, or not with such a value. Raises `DEVICE_BANNED`,
    `DEVICE_NOT_BOUND`, `ACCESS_DENIED`, `NOT_FOUND` (replaced), `PRODUCT_UNKNOWN` (not quectel), `LIMIT_REACHED` and
    `CONFLICT`.
    """
    product_key = identity.parts(link.device).get("product_key")
    if product_key is None:
        raise Refused(Reason.PRODUCT_UNKNOWN)
    key, model = items.properties(link.device), items.tsl(product_key)
    order = at * _SAME_TIME + number % _SAME_TIME
    for _ in range(_ATTEMPTS):
        found = device_connections.check(link, Read(key), Read(model))
        described = {each["code"]: each for each in tsl.properties(found[model])}
        fitting = {code: value for code, value in values.items() if tsl.fits(described.get(code), value)}
        given: dict[str, items.Reported] = {
            code: {"value": _text(tsl.typed(described[code], value)), "at": at, "order": order}
            for code, value in fitting.items()
        }
        try:
            _keep(key, link.binding, found[key], given)
        except Refused as refused:
            # Messages are handled concurrently, and in any order.
            if refused.reason is not Reason.CONFLICT:
                raise
            continue
        return [code for code in values if code not in fitting]
    raise Refused(Reason.CONFLICT)


def _keep(
    key: dynamodb.Key[items.Properties],
    binding: str,
    kept: items.Properties | None,
    given: Mapping[str, items.Reported],
) -> None:
    """Add values that are newer than those kept. Raises `LIMIT_REACHED` and `CONFLICT`."""
    if kept is None or kept["binding"] != binding:
        _check_limits(given)
        same = absent() if kept is None else equals("binding", kept["binding"])
        dynamodb.write(key.put({"binding": binding, "values": dict(given)}, when=same.raises(Reason.CONFLICT)))
        return
    newer = {
        code: reported
        for code, reported in given.items()
        if code not in kept["values"] or kept["values"][code]["order"] < reported["order"]
    }
    if not newer:
        return
    _check_limits(kept["values"] | newer)
    still = every([equals("binding", binding), *(_older(code, each["order"]) for code, each in newer.items())])
    members: dict[tuple[str, ...], Any] = {("values", code): reported for code, reported in newer.items()}
    dynamodb.write(key.update(members=members, when=still.raises(Reason.CONFLICT)))


def _older(code: str, order: int) -> Condition:
    """Condition: a value is absent, older or the same."""
    return absent(("values", code)) | at_most(("values", code, "order"), order)


def _check_limits(values: Mapping[str, items.Reported]) -> None:
    size = sum(len(code.encode()) + len(reported["value"].encode()) for code, reported in values.items())
    if len(values) > CODE_LIMIT or size > SIZE_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
