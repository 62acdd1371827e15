"""Presence: whether a device is connected.

It names the binding at the time of connection, so unbinding makes it void. In multi mode, all users share it. A ban
deletes it.
"""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete
from bindery.aws.expressions import Condition, absent, equals
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.registry import identity, items
from bindery.security import secrets

LIFETIME = 2 * 3600
"""Seconds after which API Gateway ends a connection."""

SHARDS = 16
"""Parts of the list of connected devices. Each takes 1,000 beginnings and ends of connections per second."""


def under(presence: items.Presence | None, binding: str | None) -> items.Presence | None:
    """Return a presence if it is of this binding, or of any (None: multi mode)."""
    return presence if presence is not None and binding in (None, presence["binding"]) else None


def is_online(presence: items.Presence | None) -> bool:
    """Return True while the device is connected."""
    return presence is not None and presence["until"] > clock.now()


def last_seen(presence: items.Presence) -> int:
    """Return when the device was last known to be connected, in milliseconds."""
    return min(presence["until"], clock.now())


def listed(device: str, connection: str, since: int) -> items.Presence:
    """Return the attributes with which a presence is in the list of connected devices."""
    shard = int(secrets.fingerprint(device)[:8], 16) % SHARDS
    return {"holder": identity.online_holder(shard), "holder_sort": identity.join(f"{since:013}", connection)}


def find(device: str) -> items.Presence | None:
    """Return a device's presence, even if void."""
    return dynamodb.get(items.presence(device))


def unchanged(last: items.Presence | None) -> Condition:
    """Condition: the device has not connected since. Raises `CONFLICT`."""
    same = absent() if last is None else equals("connection", last["connection"])
    return same.raises(Reason.CONFLICT)


class Ending(NamedTuple):
    """The presence that ends with a binding or its credential, if any, and the writes that end it."""

    last: items.Presence | None
    writes: list[Check | Delete]


def forgetting(device: str) -> Ending:
    """Return the end of a device's presence and properties, with those of its only binding."""
    return Ending(find(device), [items.presence(device).delete(), items.properties(device).delete()])


def ending(device: str, binding: str) -> Ending:
    """Return the end of a device's presence under a binding, which raises `CONFLICT` if the device connects."""
    found, key = find(device), items.presence(device)
    if under(found, binding) is None:
        return Ending(None, [key.check(unchanged(found))])
    return Ending(found, [key.delete(when=unchanged(found))])
