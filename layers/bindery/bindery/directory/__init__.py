"""Records that operators write and requests read."""

from typing import Any, TypeVar

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Update
from bindery.aws.expressions import Condition, absent, exists
from bindery.core.errors import Reason, Refused
from bindery.registry import items

EXISTS = exists().raises(Reason.NOT_FOUND)

OPEN = (exists() & absent("deleting_at")).raises(Reason.NOT_FOUND)
"""Condition: a record exists, and is not being deleted."""

T = TypeVar("T", bound=items.Stored)


def show(key: Key[T]) -> T:
    """Return a record. Raises `NOT_FOUND`."""
    record = dynamodb.get(key)
    if record is None:
        raise Refused(Reason.NOT_FOUND)
    return record


def change(key: Key[T], members: T, when: Condition = EXISTS) -> None:
    """Replace members of a record. Raises `NOT_FOUND` or the reason of `when`."""
    if members:
        dynamodb.write(key.update(set=members, when=when))


def set_enabled(key: Key[Any], enabled: bool, when: Condition) -> Update:
    """Enable or disable a user or account. Disabling ends leases."""
    return key.update(set={"enabled": enabled}, add={"suspensions": int(not enabled)}, when=when)
