"""Where bindings stand, keyed by device, so that the sole-owner rule is one key and one condition.

- `owner`: the one binding of a device in an exclusive mode. Whoever writes it ends the last one, its shares (an
  attribute of it, `shares`: uid → the second at which the share ends), and all connections (an attribute too,
  `connected`: whom the binding names, `bindery.connectivity.leases`).
- `user#…`: in a mode that lets several users hold a device, one binding each, with its own connections.
- In a partition of each user, what the device is to them (quectel, `bindery.quectel.user_devices`).
- `connection#…`: a lease, one each caller, good while the binding names it.

`binding` is a random id that a binding has for its life: what belongs to it and must end with it names it.
"""

import uuid
from enum import IntEnum

from bindery.aws.dynamodb import Key, Table
from bindery.registry import identity

BY_HOLDER = "by_holder"
"""The index by holder: partition key `holder`, sort key `since`, so that what is bound later comes last."""


class Mode(IntEnum):
    """How many users can bind a device of a product, by quectel's own numbers. Fixed when the product is created."""

    MULTI = 1
    """Any number."""
    UNIQUE = 2
    """One, until they unbind it."""
    ROTATING = 3
    """One, until another user binds it."""


def owner(device: str) -> Key:
    """The one binding of a device in an exclusive mode."""
    return Key(Table.BINDINGS, device, "owner")


def of_user(device: str, uid: str) -> Key:
    """One user's binding of a device that several may hold."""
    return Key(Table.BINDINGS, device, identity.user_holder(uid))


def since(dialect: str, bound_at: int) -> str:
    """Where a binding stands among its holder's: by dialect, then by when it was bound (milliseconds)."""
    return identity.join(dialect, f"{bound_at:013}")


def new_id() -> str:
    """An id for a new binding: 122 random bits, never used twice."""
    return uuid.uuid4().hex
