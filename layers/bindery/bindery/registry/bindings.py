"""Modes, ids and order of bindings.

In an exclusive mode, a device's only binding is the item `owner`: one condition ensures one owner, and one write ends
it with its shares and leases. In multi mode, each user has a binding.
"""

import uuid
from enum import IntEnum

from bindery.registry import identity


class Mode(IntEnum):
    """Binding mode of a product, by quectel's numbers: how many users can hold a device. It never changes."""

    MULTI = 1
    """Any number."""
    UNIQUE = 2
    """One, until they unbind it."""
    ROTATING = 3
    """One, until another user binds it."""


def holder_sort(dialect: str, bound_at: int) -> str:
    """Return the sort key of a binding: API, then milliseconds."""
    return identity.join(dialect, f"{bound_at:013}")


def new_id() -> str:
    """Return a binding's random id."""
    return uuid.uuid4().hex
