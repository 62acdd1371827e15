"""Presence: whether a device is connected.

It names the binding at the time of connection, so unbinding makes it void. In multi mode, all users share it. A ban
deletes it.
"""

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete
from bindery.core import clock
from bindery.registry import items

LIFETIME = 2 * 3600
"""Seconds after which API Gateway ends a connection."""


def under(presence: items.Presence | None, binding: str | None) -> items.Presence | None:
    """Return a presence if it is of this binding, or of any (None: multi mode)."""
    return presence if presence is not None and binding in (None, presence["binding"]) else None


def is_online(presence: items.Presence | None) -> bool:
    """Return True while the device is connected."""
    return presence is not None and presence["until"] > clock.now()


def last_seen(presence: items.Presence) -> int:
    """Return when the device was last known to be connected, in milliseconds."""
    return min(presence["until"], clock.now())


def find(device: str) -> items.Presence | None:
    """Return a device's presence, even if void."""
    return dynamodb.get(items.presence(device))


def forget(device: str) -> list[Delete]:
    """Delete what is known of a device from its connections. For the transaction that ends its binding."""
    return [items.presence(device).delete(), items.properties(device).delete()]
