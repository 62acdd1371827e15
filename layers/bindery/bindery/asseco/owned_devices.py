"""asseco: a customer of a bank registers the phones, watches and tablets that they own (document 002).

A device has one customer at a time. While it is active or blocked, its nickname is one of a kind among the customer's:
a guard item beside the bindings holds the name. Unregistering ends both; what was registered stays visible to its last
customer until someone registers the device anew. A blocked device stays its customer's and cannot be connected to.
"""

from enum import StrEnum
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Delete, Item, Key, Put, Table, Update, Verdict, Write
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity

PUSH_LIFETIME = 90 * 24 * 3600 * 1000
"""Milliseconds for which a push registration is good."""


class Status(StrEnum):
    """What a registration is good for."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


class IdentifierKind(StrEnum):
    """What a device's identifier is."""

    IMEI = "imei"
    APP_ID = "app-id"


class PushPlatform(StrEnum):
    """Whose push notifications a device receives."""

    APNS = "apns"
    GCM = "gcm"
    WNS = "wns"
    MPNS = "mpns"


class OwnedDevice(NamedTuple):
    """A registered device as its customer sees it."""

    identifier: str
    """As given when it was registered."""
    customer: str
    status: Status
    nickname: str
    operating_system: str
    brand_name: str | None
    model_name: str | None
    installation_id: str | None
    push_id: str | None
    push_expiration_date: int | None
    """In milliseconds since the Unix epoch."""


def register(
    customer: str,
    identifier: str,
    *,
    kind: IdentifierKind,
    nickname: str,
    operating_system: str,
    brand_name: str | None,
    model_name: str | None,
    push_platform: PushPlatform | None,
    push_handle: str | None,
) -> None:
    """Register a device to a customer: one transaction of three items.

    With a push platform and a handle it is registered for push notifications too. Raises, in this order,
    `DEVICE_BANNED`, `IDENTIFIER_TAKEN` (active or blocked, any customer's), `NICKNAME_TAKEN`.
    """
    device = identity.customer_device(identifier)
    binding, now = bindings.new_id(), clock.now()
    registration = {
        "holder": identity.customer_holder(customer),
        "binding": binding,
        "bound_at": now,
        "since": bindings.since("asseco", now),
        "connected": {},
        "status": Status.ACTIVE,
        "identifier": identifier,
        "identifier_kind": kind,
        "nickname": nickname,
        "operating_system": operating_system,
        "brand_name": brand_name,
        "model_name": model_name,
        "installation_id": None,
        "push_platform": push_platform,
        "push_handle": push_handle,
        **_push_registration(push_platform, push_handle, now),
    }
    dynamodb.transact(
        [
            devices.seen(device, "asseco"),
            Put(
                bindings.owner(device),
                registration,
                Condition(
                    expression="attribute_not_exists(#pk) OR #status = :unregistered",
                    values={":unregistered": Status.UNREGISTERED},
                    otherwise=Reason.IDENTIFIER_TAKEN,
                ),
            ),
            Put(
                guard(customer, nickname),
                {"device": device, "binding": binding},
                _FREE,
            ),
        ]
    )


def find(customer: str, identifier: str) -> OwnedDevice:
    """A customer's device. Raises `DEVICE_UNKNOWN`: nobody's, or another customer's."""
    return _read(customer, _registration(customer, identifier))


def owned(customer: str) -> list[OwnedDevice]:
    """A customer's devices, those registered last at the end: as many as two round trips bring, some thousands.

    Whatever part of them is wanted, all of them are read.
    """
    found = dynamodb.query(
        Table.BINDINGS,
        "#holder = :holder AND begins_with(#since, :dialect)",
        {":holder": identity.customer_holder(customer), ":dialect": "asseco#"},
        index=bindings.BY_HOLDER,
    )
    return [_read(customer, item) for item in found]


def rename(customer: str, identifier: str, nickname: str) -> None:
    """Give a device, active or blocked, another nickname; the one that it has already is no change.

    One transaction, in which the guard moves unless the two nicknames differ in case only. Raises, in this order,
    `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` (unregistered), `CONFLICT` (the nickname was changed or the device
    registered anew meanwhile: try again) and `NICKNAME_TAKEN`.
    """
    registration = _standing(customer, identifier)
    if nickname == registration["nickname"]:
        return
    former, wanted = guard(customer, registration["nickname"]), guard(customer, nickname)
    place = bindings.owner(registration["pk"])
    writes: list[Write] = [
        Update(place, "SET #nickname = :wanted", {":wanted": nickname}, _as_read(registration, _changed(registration)))
    ]
    if wanted != former:
        held = {"device": registration["pk"], "binding": registration["binding"]}
        writes += [Delete(former, _own(registration)), Put(wanted, held, _FREE)]
    dynamodb.transact(writes)


def set_push_handle(customer: str, identifier: str, platform: PushPlatform, handle: str) -> None:
    """Register an active device for push notifications, in the place of what it was registered for.

    Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` (not active) and `PUSH_REGISTERED` (for the very same platform and
    handle, and still good).
    """
    now = clock.now()
    registration = {"push_platform": platform, "push_handle": handle, **_push_registration(platform, handle, now)}
    _change(
        customer,
        identifier,
        Status.ACTIVE,
        "SET " + ", ".join(f"#{name} = :{name}" for name in registration),
        {":now": now} | {f":{name}": value for name, value in registration.items()},
        unless="#push_platform = :push_platform AND #push_handle = :push_handle AND #push_expiration_date > :now",
        otherwise=Reason.PUSH_REGISTERED,
    )


def block(customer: str, identifier: str) -> None:
    """Block an active device, which ends its connections. Raises `DEVICE_UNKNOWN` and `STATUS_NOT_VALID`."""
    _change(
        customer,
        identifier,
        Status.ACTIVE,
        "SET #status = :blocked, #connected = :nobody",
        {":blocked": Status.BLOCKED, ":nobody": {}},
    )


def unblock(customer: str, identifier: str) -> None:
    """Make a blocked device active again. Raises `DEVICE_UNKNOWN` and `STATUS_NOT_VALID`."""
    _change(customer, identifier, Status.BLOCKED, "SET #status = :active", {":active": Status.ACTIVE})


def unregister(customer: str, identifier: str) -> str:
    """End a registration, active or blocked, and return its identifier as it was given.

    Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` (unregistered already) and `CONFLICT` (the nickname was changed
    or the device registered anew meanwhile, and nothing else: try again).
    """
    registration = _standing(customer, identifier)
    dynamodb.transact(ending(registration, _changed(registration)))
    return str(registration["identifier"])


def ending(registration: Item, otherwise: Verdict) -> list[Update | Delete]:
    """The writes that end a registration, active or blocked, and its connections.

    `otherwise` if it is no longer the one that was read.
    """
    _, customer = identity.holder_parts(registration["holder"])
    return [
        Update(
            bindings.owner(registration["pk"]),
            "SET #status = :unregistered REMOVE #connected",
            {":unregistered": Status.UNREGISTERED},
            _as_read(registration, otherwise),
        ),
        Delete(guard(customer, registration["nickname"]), _own(registration)),
    ]


def guard(customer: str, nickname: str) -> Key:
    """Where a nickname is held for a customer. The item has no `holder`, so the index by holder leaves it out."""
    return Key(Table.BINDINGS, identity.customer_holder(customer), f"nickname#{identity.folded(nickname)}")


def freeing(held: Item) -> list[Check | Delete]:
    """The writes that remove the guard of a nickname, as it was read: `CONFLICT` if it guards what stands."""
    ended = Condition(
        expression="attribute_not_exists(#pk) OR #binding <> :binding OR #status = :unregistered",
        values={":binding": held["binding"], ":unregistered": Status.UNREGISTERED},
        otherwise=Reason.CONFLICT,
    )
    return [
        Check(bindings.owner(held["device"]), ended),
        Delete(Key(Table.BINDINGS, held["pk"], held["sk"]), _own(held)),
    ]


def guarded(held: Item) -> Item | None:
    """The registration, active or blocked, that a guard stands for, or None: it guards nothing any more."""
    registration = dynamodb.get(bindings.owner(held["device"]))
    if registration is None or registration["binding"] != held["binding"]:
        return None
    return None if registration["status"] == Status.UNREGISTERED else registration


_FREE = Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.NICKNAME_TAKEN)


def _own(held: Item) -> Condition:
    """That the guard of a nickname, where there is one, is that of the binding that `held` (it, or the guard) names."""
    return Condition(
        expression="attribute_not_exists(#pk) OR #binding = :binding",
        values={":binding": held["binding"]},
        otherwise=Reason.CONFLICT,
    )


def _as_read(registration: Item, otherwise: Verdict) -> Condition:
    """That a registration, active or blocked, is the one that was read and has the nickname that it had."""
    return Condition(
        expression="#binding = :binding AND #status IN (:active, :blocked) AND #nickname = :nickname",
        values={
            ":binding": registration["binding"],
            ":active": Status.ACTIVE,
            ":blocked": Status.BLOCKED,
            ":nickname": registration["nickname"],
        },
        otherwise=otherwise,
    )


def _changed(registration: Item) -> Verdict:
    """What it means that a registration is no longer as it was read."""

    def verdict(item: Item) -> Reason:
        if item.get("holder") != registration["holder"]:
            return Reason.DEVICE_UNKNOWN
        return Reason.STATUS_NOT_VALID if item["status"] == Status.UNREGISTERED else Reason.CONFLICT

    return verdict


def _change(
    customer: str,
    identifier: str,
    status: Status,
    expression: str,
    values: Item,
    *,
    unless: str | None = None,
    otherwise: Reason = Reason.STATUS_NOT_VALID,
) -> None:
    """Change a customer's device that has this status, in one write without a read.

    Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID`, and `otherwise` where `unless` holds. It is a transaction
    of one, because its token makes a repetition after a lost answer the same success.
    """
    holder = identity.customer_holder(customer)

    def verdict(item: Item) -> Reason:
        if item.get("holder") != holder:
            return Reason.DEVICE_UNKNOWN
        return otherwise if item["status"] == status else Reason.STATUS_NOT_VALID

    condition = Condition(
        expression="#holder = :holder AND #status = :status" + (f" AND NOT ({unless})" if unless else ""),
        values={":holder": holder, ":status": status},
        otherwise=verdict,
    )
    dynamodb.transact([Update(bindings.owner(identity.customer_device(identifier)), expression, values, condition)])


def _push_registration(platform: PushPlatform | None, handle: str | None, now: int) -> Item:
    """What a registration for push notifications has beside its platform and its handle: nothing without either."""
    if platform is None or handle is None:
        return {"push_id": None, "push_expiration_date": None}
    return {"push_id": bindings.new_id(), "push_expiration_date": now + PUSH_LIFETIME}


def _standing(customer: str, identifier: str) -> Item:
    """A customer's registration that has not ended."""
    registration = _registration(customer, identifier)
    if registration["status"] == Status.UNREGISTERED:
        raise Refused(Reason.STATUS_NOT_VALID)
    return registration


def _registration(customer: str, identifier: str) -> Item:
    item = dynamodb.get(bindings.owner(identity.customer_device(identifier)))
    if item is None or item["holder"] != identity.customer_holder(customer):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return item


def _read(customer: str, item: Item) -> OwnedDevice:
    return OwnedDevice(
        item["identifier"],
        customer,
        Status(item["status"]),
        item["nickname"],
        item["operating_system"],
        item["brand_name"],
        item["model_name"],
        item["installation_id"],
        item["push_id"],
        item["push_expiration_date"],
    )
