"""Devices that are connected now."""

import re
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Key, Read, Table
from bindery.connectivity import presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items

_CURSOR = re.compile("[0-9]{13}#[^#]{1,128}")
"""Sort key of the first entry of a page."""


def find(limit: int, cursor: str | None) -> CursorPage[dict[str, Any]]:
    """Return a page of the connected devices, in the order in which they connected. Raises `INVALID`."""
    if cursor is not None and _CURSOR.fullmatch(cursor) is None:
        raise Refused(Reason.INVALID)
    # A connection whose end was not reported stays in the index, but no connection lasts longer than this.
    first = f"{clock.now() - presence.LIFETIME * 1000:013}"
    start = max(first, cursor or first)
    pages = [dynamodb.page(items.online(shard, start), limit + 1) for shard in range(presence.SHARDS)]
    found = sorted((last for page in pages for last in page.items), key=lambda last: last["holder_sort"])
    return CursorPage(
        [_describe(last, binding) for last, binding in _with_bindings(found[:limit])],
        found[limit]["holder_sort"] if len(found) > limit else None,
    )


def _with_bindings(found: list[items.Presence]) -> list[tuple[items.Presence, items.Binding]]:
    """Return the presences that count, with their bindings."""
    keys = [Key[items.Binding](Table.BINDINGS, last["pk"], last["sort_key"]) for last in found]
    if not keys:
        return []
    bindings = dynamodb.get_many([Read(key) for key in keys])
    return [
        (last, binding)
        for key, last in zip(keys, found, strict=True)
        if (binding := bindings[key]) is not None
        and binding.get("status", "active") == "active"
        and presence.is_online(presence.under(last, binding["binding"]))
    ]


def _describe(last: items.Presence, binding: items.Binding) -> dict[str, Any]:
    return {
        # A company's device has its serial number only in its binding.
        **({"serial": binding["serial"]} if "serial" in binding else {}),
        **identity.parts(last["pk"]),
        "device": identity.opaque(last["pk"]),
        "connected_at": last["connected_at"],
        "ip": last["ip"],
        "agent": last["agent"],
    }
