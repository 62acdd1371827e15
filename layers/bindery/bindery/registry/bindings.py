"""Modes, ids and order of bindings.

In an exclusive mode, a device's only binding is the item `owner`: one condition ensures one owner, and one write ends
it with its shares and leases. In multi mode, each user has a binding.
"""

import uuid
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from bindery.aws.expressions import Condition, begins_with, one_of
from bindery.registry import identity
from bindery.security import secrets


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


def held_by(account: str, *others: str) -> Condition:
    """Condition: an account, in any part of its list, or one of the other holders has the binding."""
    first = identity.account_holder(account)
    return one_of("holder", [*others, first]) | begins_with("holder", f"{first}#")


def is_held_by(binding: Mapping[str, Any], account: str, *others: str) -> bool:
    """Return True if a binding ({} for none) meets `held_by`."""
    first, holder = identity.account_holder(account), binding.get("holder", "")
    return holder in (*others, first) or holder.startswith(f"{first}#")


def new_id() -> str:
    """Return a binding's random id."""
    return uuid.uuid4().hex


def share_id(binding: str, uid: str) -> str:
    """Return the id of a user's share in an exclusive mode. It does not reveal the user without the binding's id."""
    return secrets.fingerprint(identity.join("share", uid, binding))
