"""Bindings: binding modes, binding ids, and how a holder's bindings are ordered. The items are in `items`.

A device in an exclusive mode has one binding, the item `owner`, so sole ownership is one key and one condition. Writing
or deleting it ends the previous binding with its shares and leases, which are attributes of it. In multi mode each user
has a binding of their own.
"""

import uuid
from enum import IntEnum

from bindery.registry import identity


class Mode(IntEnum):
    """How many users can bind a device of a product, by quectel's own numbers. Fixed when the product is created."""

    MULTI = 1
    """Any number."""
    UNIQUE = 2
    """One, until they unbind it."""
    ROTATING = 3
    """One, until another user binds it."""


def holder_sort(dialect: str, bound_at: int) -> str:
    """Return the sort key of a binding among its holder's: API, then time of binding in milliseconds."""
    return identity.join(dialect, f"{bound_at:013}")


def new_id() -> str:
    """Return an id for a new binding: 122 random bits, never used twice."""
    return uuid.uuid4().hex
