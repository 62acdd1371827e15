"""What a user holds: one entry for each device that they have bound or have a share of, in a partition of their own.

An entry is written and removed in the same transactions as the binding or share that it stands for.
"""

from collections.abc import Iterator

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Key, Table
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.registry import identity


def key(uid: str, product_key: str, device_key: str) -> Key:
    """Where what a user holds of a device stands."""
    place = identity.join("device", identity.canonical(product_key), device_key)
    return Key(Table.BINDINGS, identity.user_holder(uid), place)


def of_user(uid: str, *, round_trips: int = 10, unavailable: Reason = Reason.UNAVAILABLE) -> Iterator[Item]:
    """Everything that a user holds, shares whose time is over included until they are removed."""
    return dynamodb.query(
        Table.BINDINGS,
        "#pk = :user AND begins_with(#sk, :device)",
        {":user": identity.user_holder(uid), ":device": identity.join("device", "")},
        consistent=True,
        round_trips=round_trips,
        unavailable=unavailable,
    )


def lasts(held: Item | None) -> bool:
    """Whether a user holds what stands at a place, or once stood there."""
    return held is not None and ("expires_at" not in held or held["expires_at"] > clock.seconds())


def lasting(shares: Item) -> Item:
    """The shares of a binding that last."""
    now = clock.seconds()
    return {uid: until for uid, until in shares.items() if until > now}
