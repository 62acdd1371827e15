"""Token buckets: limits on the requests per second of an API key, or of an account's users.

A bucket is in the item that authentication reads. An environment adds its requests to it in batches, so each
environment may accept up to a batch, less one, above the limit.
"""

from typing import Any

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.aws.expressions import absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

FASTEST = 3000
"""Requests per second: DynamoDB serves no more consistent reads of one item."""

REMEMBERED = 1000
"""Buckets that an execution environment caches."""

_SECOND = 1_000_000  # microseconds

# By item and limit: requests that the item does not contain yet, and when the bucket is full as far as is known here.
_spent: dict[tuple[str, int, int], tuple[int, int]] = {}


def limit(key: Key[Any], per_second: int, burst: int | None) -> None:
    """Limit requests; the burst is one second's by default. The bucket is full at first. Raises `NOT_FOUND`."""
    rate: items.Limited = {"per_second": per_second, "burst": burst or per_second}
    dynamodb.write(key.update(set=rate, remove=["full_at"], when=directory.EXISTS))


def lift(key: Key[Any]) -> None:
    """Remove a limit, if any. Raises `NOT_FOUND`."""
    dynamodb.write(key.update(remove=["per_second", "burst", "full_at"], when=directory.EXISTS))


def batch(per_second: int) -> int:
    """Return the size of a batch: a tenth of a second's requests."""
    return max(2, -(-per_second // 10))


def spend(item: items.Limited) -> None:
    """Count a request. Raises `RATE_EXCEEDED` if the bucket is empty; such a request is not counted."""
    if "per_second" not in item:
        return
    bucket = (item["pk"], item["per_second"], item["burst"])
    spent, known = _spent.get(bucket, (0, 0))
    token, now, stored = _SECOND // item["per_second"], clock.now() * 1000, item.get("full_at", 0)
    full_at = max(now, known, stored + spent * token) + token
    wait = full_at - item["burst"] * token - now
    if wait > 0:
        raise Refused(Reason.RATE_EXCEEDED, seconds=str(-(-wait // _SECOND)))
    spent += 1
    if spent >= batch(item["per_second"]) and _add(item, full_at - stored, spent * token):
        spent = 0
    if len(_spent) >= REMEMBERED:
        _spent.clear()
    _spent[bucket] = spent, full_at


def _add(item: items.Limited, gain: int, spent: int) -> bool:
    """Move `full_at` by `gain`. Return False on failure; a later request then adds these requests too."""
    limited = exists("per_second")
    if gain > spent:
        # The bucket was full for some time. Only one environment may add that time.
        limited &= equals("full_at", item["full_at"]) if "full_at" in item else absent("full_at")
    added: items.Limited = {"full_at": gain}
    try:
        dynamodb.write(items.key_of(Table.DIRECTORY, item).update(add=added, when=limited.raises(Reason.CONFLICT)))
    except Refused:
        return False
    return True


def clear_cache() -> None:
    """Clear the cache."""
    _spent.clear()
