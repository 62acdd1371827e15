"""Who may reach a device, and whether it can be reached: as the condition of a write, and over records that were read.

Whoever holds a device may reach it, through whichever API it was bound: the user, the bank customer that the user is,
and everybody in an account that does. So may a user with a share of it, as long as that lasts.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Read, Table
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory.users import User
from bindery.registry import bindings, devices, holdings, identity

LIST_LIMIT = 1000
"""How many devices `listed` looks at: the reads of as many are what it costs."""

_BATCH = 100


class Listed(NamedTuple):
    """A device with a service address, as a user sees it who may reach it."""

    address: str
    alias: str | None
    """What its holder calls it; of what is shared with the user, what the user calls it."""
    kind: str | None
    active: bool
    shared: bool
    owner: str | None
    """Whose it is, unless it is shared with the user: the user's email address or uid, or the account."""
    bound_at: int
    """When it was bound, or the share of it accepted."""


def relation(device: str, uid: str, per_user: bool) -> Key:
    """The record that relates a user to a device, if any does."""
    return bindings.of_user(device, uid) if per_user else bindings.owner(device)


def related(user: User, per_user: bool, now: int) -> tuple[str, Item, Item]:
    """That a user may reach a device, as the condition of a write on the relation: expression, names and values."""
    if per_user:
        return "#kind = :binding OR #expires_at > :now", {}, {":binding": "binding", ":now": now}
    names = {f":holder{number}": holder for number, holder in enumerate(holders(user))}
    expression = (
        f"#holder IN ({', '.join(names)}) AND (attribute_not_exists(#status) OR #status = :active)"
        " OR #shares.#uid > :now"
    )
    return expression, {"uid": user.uid}, {**names, ":active": "active", ":now": now}


def is_related(user: User, per_user: bool, relation: Item, now: int) -> bool:
    """The same over a record that was read ({} for none). `now` is in seconds."""
    if per_user:
        return bool(relation.get("kind") == "binding" or relation.get("expires_at", 0) > now)
    holds = relation.get("holder") in holders(user) and relation.get("status", "active") == "active"
    return bool(holds or relation.get("shares", {}).get(user.uid, 0) > now)


def holders(user: User) -> list[str]:
    """The names under which a user may be a device's holder: their own, then those that they share."""
    customer = [] if user.customer is None else [identity.customer_holder(user.customer)]
    return [identity.user_holder(user.uid), *customer, identity.account_holder(user.account)]


def reachable(address: str, assignment: str) -> Condition:
    """Condition: a device can be reached at an address, under this assignment of it.

    Raises what `obstacle` returns, and `CONFLICT` for another assignment.
    """
    return Condition(
        expression="#address = :address AND #assignment = :assignment"
        " AND attribute_not_exists(#banned_at) AND attribute_not_exists(#inactive)",
        values={":address": address, ":assignment": assignment},
        otherwise=lambda device: obstacle(device, address) or Reason.CONFLICT,
        detail={"address": address},
    )


def obstacle(device: Item, address: str) -> Reason | None:
    """Why a device cannot be reached at an address, if so."""
    if device.get("address") != address:
        return Reason.NOT_SHARED
    if devices.banned(device):
        return Reason.DEVICE_BANNED
    return Reason.DEVICE_INACTIVE if "inactive" in device else None


def listed(user: User) -> list[Listed]:
    """The devices with a service address that a user may reach, banned and inactive ones too, but those not as active.

    Of all that the user may reach it looks at `LIST_LIMIT` at most, the user's own first, then shares, then the bank
    customer's and the account's, each in the order in which they were bound. Whether they have an address stands with
    the device, so they are read a hundred at a time, one read unit each. What the user has is read consistently, what
    the customer and the account hold from an index, a megabyte of each at most.
    """
    found: dict[str, Item] = {}
    for device, relation in islice(_held(user), LIST_LIMIT):
        found.setdefault(device, relation)
    keys = list(found)
    records = [
        record
        for start in range(0, len(keys), _BATCH)
        for record in dynamodb.get_many([Read(devices.key(key)) for key in keys[start : start + _BATCH]])
    ]
    return [
        _listed(user, record, found[record["pk"]]) for record in records if record is not None and "address" in record
    ]


def _held(user: User) -> Iterator[tuple[str, Item]]:
    """Every device that a user may reach, with the record that says so: a share's is of the kind `share`."""
    now = clock.seconds()
    own, *others = holders(user)
    places = sorted(
        filter(holdings.lasts, holdings.of_user(user.uid, round_trips=1)), key=lambda place: place["bound_at"]
    )
    for kind in ("binding", "share"):
        yield from ((place["device"], place | {"holder": own}) for place in places if place["kind"] == kind)
    for holder in others:
        yield from _bound(user, holder, now)


def _bound(user: User, holder: str, now: int) -> Iterator[tuple[str, Item]]:
    found = dynamodb.query(
        Table.BINDINGS, "#holder = :holder", {":holder": holder}, index=bindings.BY_HOLDER, round_trips=1
    )
    for binding in found:
        if is_related(user, "kind" in binding, binding, now):
            yield binding["pk"], binding


def _listed(user: User, device: Item, relation: Item) -> Listed:
    shared = relation.get("kind") == "share"
    # A share's relation is the user's own place for the device, not the binding of another.
    facts = device | relation
    return Listed(
        address=device["address"],
        alias=next((facts[word] for word in ("name", "alias", "nickname") if facts.get(word)), None),
        kind=next((facts[word] for word in ("type", "module_type", "model", "model_name") if facts.get(word)), None),
        active=obstacle(device, device["address"]) is None,
        shared=shared,
        owner=None if shared else _owner(user, relation["holder"]),
        bound_at=relation["bound_at"],
    )


def _owner(user: User, holder: str) -> str:
    return user.account if holder == identity.account_holder(user.account) else user.email or user.uid
