"""Lists of devices by product, account or API, and by state, from the change feed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Read
from bindery.connectivity import presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.operators import device_search
from bindery.registry import identity, items
from bindery.registry.items import State

SCOPES = 10
"""Maximum number of scopes that are looked at for a page."""

_BATCH = 50
_SEPARATOR = "\n"


class Scopes(NamedTuple):
    """One scope, or those whose names begin with a text."""

    one: str | None = None
    start: str = ""

    def names(self, at: str | None, limit: int) -> list[str]:
        """Return the first scopes from a name on."""
        if self.one is not None:
            return [self.one]
        found = dynamodb.page(items.scopes(max(at or "", self.start) or None), limit).items
        return [each["sk"] for each in found if each["sk"].startswith(self.start)]


_OF_APIS = {"quectel": "product#", "rufus": "account#"}
"""Beginning of an API's scopes, if there are several."""


def scopes(product: str | None, account: str | None, api: str | None) -> Scopes:
    """Return the scopes that are asked for, by default all. Raises `INVALID` if several of these are given."""
    if sum(name is not None for name in (product, account, api)) > 1:
        raise Refused(Reason.INVALID, detail="Give at most one of product, account and api.")
    if product is not None:
        return Scopes(identity.join("product", identity.canonical(product)))
    if account is not None:
        return Scopes(identity.join("account", account))
    if api is not None:
        return Scopes(start=_OF_APIS[api]) if api in _OF_APIS else Scopes(identity.join("api", api))
    return Scopes()


def page(wanted: Scopes, state: State | None, since: int, limit: int, cursor: str | None) -> CursorPage[dict[str, Any]]:
    """Return a page of the devices in a state since a time or later, of one scope after the other.

    Each scope's are in the order in which they entered the state. Each scope costs as many reads as there are shards,
    and a page looks at up to `SCOPES` of them, so it can have fewer entries than `limit`. Raises `INVALID`.
    """
    at, start = _place(wanted, cursor)
    if state == "online":
        # A connection whose end was not reported stays in the list, but no connection lasts longer than this.
        since = max(since, clock.now() - presence.LIFETIME * 1000)
    found: list[str] = []
    following: tuple[str, str] | None = None
    for number, name in enumerate(wanted.names(at, SCOPES + 1)):
        room = limit - len(found)
        if room == 0 or number == SCOPES:
            following = (name, "")
            break
        entries = _entries(name, state, max(f"{since:013}", start if name == at else ""), room + 1)
        found += [entry["device"] for entry in entries[:room]]
        if len(entries) > room:
            following = (name, entries[room]["sk"])
            break
    shown = [each for first in range(0, len(found), _BATCH) for each in _described(found[first : first + _BATCH])]
    return CursorPage(shown, None if following is None else identity.opaque(_SEPARATOR.join(following)))


def _place(wanted: Scopes, cursor: str | None) -> tuple[str | None, str]:
    """Return the scope and sort key at which a page begins."""
    if cursor is None:
        return wanted.one, ""
    name, separator, start = identity.from_opaque(cursor).partition(_SEPARATOR)
    if not separator or not name.startswith(wanted.one or wanted.start) or wanted.one not in (None, name):
        raise Refused(Reason.INVALID, detail="The cursor is not of this list.")
    return name, start


def _entries(scope: str, state: State | None, start: str, limit: int) -> list[items.ListEntry]:
    """Return the first entries of a list, of all its shards."""
    found = [
        entry
        for shard in range(items.SHARDS)
        for entry in dynamodb.page(items.list_entries(scope, state, shard, start), limit).items
    ]
    return sorted(found, key=lambda entry: entry["sk"])[:limit]


def _described(identities: Sequence[str]) -> list[dict[str, Any]]:
    """Return descriptions of the devices that still exist."""
    keys = [(items.device(device), items.listing(device)) for device in identities]
    if not keys:
        return []
    found = dynamodb.get_many([Read(key) for pair in keys for key in pair])
    return [
        {**device_search.describe(record), "states": (found[listing] or {}).get("states", {})}
        for device, listing in keys
        if (record := found[device]) is not None
    ]
