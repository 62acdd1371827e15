"""Pseudonyms of persons in events. Once a pseudonym's item is deleted, events with it are anonymous."""

import uuid

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put
from bindery.aws.expressions import absent
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

CACHE_SECONDS = 60
"""Time after which an erasure takes effect in all processes."""

ERASURE_SECONDS = 2 * 86400
"""Time for which an erasure is known. A stream keeps changes for a day."""

_CACHE_LIMIT = 10_000
_SECOND = 1000
"""Precision of the time of a change, in milliseconds."""


_cache: dict[str, tuple[int, items.Person]] = {}


def find(holder: str) -> str | None:
    """Return the pseudonym of a user or customer, given as a holder, or None."""
    return _find(holder).get("pseudonym")


def pseudonym(holder: str, at: int) -> str:
    """Return the pseudonym of a user or customer, given as a holder, for a change at a time.

    It is new if there was none. For a change before the person was erased, it is random and not stored.
    """
    found = _find(holder)
    if at // _SECOND <= found.get("erased_at", 0) // _SECOND:
        return uuid.uuid4().hex
    return found["pseudonym"] if "pseudonym" in found else _create(holder, found)


def erasure(holder: str) -> Put:
    """Delete a pseudonym, so that the events with it are anonymous."""
    now = clock.now()
    return items.person(holder).put({"erased_at": now, "expires_at": now // 1000 + ERASURE_SECONDS})


def clear_cache() -> None:
    """Clear the cache."""
    _cache.clear()


def _find(holder: str) -> items.Person:
    expires_at, cached = _cache.get(holder, (0, None))
    if cached is not None and expires_at > clock.seconds():
        return cached
    found: items.Person = dynamodb.get(items.person(holder)) or {}
    if "pseudonym" in found:
        _remember(holder, found)
    return found


def _remember(holder: str, person: items.Person) -> None:
    if len(_cache) >= _CACHE_LIMIT:
        _cache.clear()
    _cache[holder] = (clock.seconds() + CACHE_SECONDS, person)


def _create(holder: str, found: items.Person) -> str:
    made: items.Person = {"pseudonym": uuid.uuid4().hex, "created_at": clock.now()}
    new = absent("pseudonym").raises(Reason.ALREADY_EXISTS)
    try:
        dynamodb.write(items.person(holder).update(set=made, remove=["expires_at"], when=new))
    except Refused as refused:
        if refused.reason is not Reason.ALREADY_EXISTS:
            raise
        created = find(holder)
        if created is None:
            # Erased at the same time.
            raise Refused(Reason.CONFLICT) from None
        return created
    _remember(holder, {**found, **made})
    return made["pseudonym"]
