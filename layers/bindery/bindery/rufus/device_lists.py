"""Lists of an account's devices, by page number or cursor.

Each part of a list is a partition of the index by holder, oldest binding first. Parts are read one after another.
"""

import hmac
from collections.abc import Iterable
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.attribute_values import cursor_of, encode
from bindery.aws.dynamodb import Partition
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items
from bindery.rufus import company_devices
from bindery.rufus.company_devices import CompanyDevice
from bindery.security import secrets

LIST_ROUND_TRIPS = 40

_ROUND_TRIP = 1_000_000


class NumberedPage(NamedTuple):
    """A page, the length of the list, and whether devices follow."""

    devices: list[CompanyDevice]
    total: int
    more: bool


class CursorPage(NamedTuple):
    """A page, and the cursor of the next."""

    devices: list[CompanyDevice]
    cursor: str | None


def numbered_page(account: str, parts: int, number: int, limit: int) -> NumberedPage:
    """Return page `number` (from 1). Raises `INVALID` if it is out of reach.

    `total` is the number counted in `LIST_ROUND_TRIPS`, of some four thousand devices each.
    """
    left = [_part(account, part) for part in range(parts)]
    start, end = (number - 1) * limit, number * limit
    found: list[items.Binding] = []
    total, cursor = 0, None
    for _ in range(LIST_ROUND_TRIPS):
        if start <= total < end:
            read = dynamodb.page(left[0], end - total, cursor)
            found += read.items
            total, cursor = total + len(read.items), read.cursor
        else:
            ahead = min(start - total, _ROUND_TRIP) if total < start else _ROUND_TRIP
            counted, cursor = dynamodb.count(left[0], ahead, cursor)
            total += counted
        if cursor is None:
            del left[0]
        if not left:
            break
    if left and total < end:
        raise Refused(Reason.INVALID, parameters="page")
    return NumberedPage(_devices(account, found), total, bool(left) or total > end)


def page_after(account: str, parts: int, cursor: str, limit: int) -> CursorPage:
    """Return the page at a cursor ("" for the first), in at most two queries.

    At the end of a part, it can be shorter than `limit`. Raises `INVALID` for a cursor of another account.
    """
    part, start = _place(account, cursor) if cursor else (0, None)
    found: list[items.Binding] = []
    for _ in range(2):
        # One more than shown, to know whether devices follow.
        read = dynamodb.page(_part(account, part), limit - len(found) + 1, start)
        found += read.items
        if len(found) > limit or read.cursor is not None:
            shown = found[:limit]
            return CursorPage(_devices(account, shown), _cursor(account, part, shown[-1]))
        part, start = part + 1, None
        if part >= parts or len(found) == limit:
            break
    return CursorPage(_devices(account, found), _cursor(account, part) if part < parts else None)


def _part(account: str, part: int) -> Partition[items.Binding]:
    return items.held_by(identity.account_holder(account, part), "rufus")


def _devices(account: str, found: Iterable[items.Binding]) -> list[CompanyDevice]:
    return [
        company_devices.from_item(secrets.device_id(account, binding["model"], binding["serial"]), binding)
        for binding in found
    ]


def _cursor(account: str, part: int, last: items.Binding | None = None) -> str:
    after = (last["holder_sort"], last["pk"]) if last else ()
    return _signed(account, " ".join([str(part), *after]))


def _place(account: str, cursor: str) -> tuple[int, str | None]:
    """Return a cursor's part, and DynamoDB's cursor within it. Raises `INVALID`."""
    try:
        place = identity.from_opaque(cursor).partition(" ")[2]
    except Refused:
        place = ""
    if not hmac.compare_digest(_signed(account, place).encode(), cursor.encode(errors="replace")):
        raise Refused(Reason.INVALID, parameters="cursor")
    part, *after = place.split(" ")
    if not after:
        return int(part), None
    holder_sort, device = after
    holder = identity.account_holder(account, int(part))
    key = items.owner(device).attributes() | {"holder": holder, "holder_sort": holder_sort}
    return int(part), cursor_of(encode(key))


def _signed(account: str, place: str) -> str:
    # Four parts, because a deviceid is derived from three: no cursor reveals one.
    signature = secrets.derive("DEVICE_ID_SECRET", "cursor", "", account, place)[:16].hex()
    return identity.opaque(f"{signature} {place}")
