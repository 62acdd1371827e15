"""Owned devices (asseco): customers register their devices.

A lock keeps the nickname of an active or blocked device unique among its customer's.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Table, Update, Write
from bindery.aws.expressions import Condition, Verdict, above, absent, equals, one_of
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity, items

PUSH_LIFETIME = 90 * 24 * 3600 * 1000
"""Milliseconds."""


class Status(StrEnum):
    """Status of a registration."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


class IdentifierKind(StrEnum):
    """Kind of identifier."""

    IMEI = "imei"
    APP_ID = "app-id"


class PushPlatform(StrEnum):
    """Push notification service."""

    APNS = "apns"
    GCM = "gcm"
    WNS = "wns"
    MPNS = "mpns"


class OwnedDevice(NamedTuple):
    """A registration as its customer sees it."""

    identifier: str
    """As specified at registration."""
    customer: str
    status: Status
    nickname: str
    operating_system: str
    brand_name: str | None
    model_name: str | None
    installation_id: str | None
    push_id: str | None
    push_expiration_date: int | None
    """In milliseconds."""


_NOT_REGISTERED = (absent() | equals("status", Status.UNREGISTERED)).raises(Reason.IDENTIFIER_TAKEN)
_NICKNAME_NOT_LOCKED = absent().raises(Reason.NICKNAME_TAKEN)


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
    """Register a device. Raises, in this order, `DEVICE_BANNED`, `IDENTIFIER_TAKEN` and `NICKNAME_TAKEN`."""
    device = identity.customer_device(identifier)
    binding, now = bindings.new_id(), clock.now()
    registration: items.Registration = {
        "holder": identity.customer_holder(customer),
        "binding": binding,
        "bound_at": now,
        "holder_sort": bindings.holder_sort("asseco", now),
        "leases": {},
        "status": Status.ACTIVE,
        "identifier": identifier,
        "identifier_kind": kind,
        "nickname": nickname,
        "operating_system": operating_system,
        "brand_name": brand_name,
        "model_name": model_name,
        "installation_id": None,
    }
    dynamodb.transact(
        [
            devices.seen(device, "asseco"),
            items.registration(device).put(
                registration | _push_registration(push_platform, push_handle, now), when=_NOT_REGISTERED
            ),
            items.nickname_lock(customer, nickname).put(
                {"device": device, "binding": binding}, when=_NICKNAME_NOT_LOCKED
            ),
        ]
    )


def find(customer: str, identifier: str) -> OwnedDevice:
    """Return a customer's device. Raises `DEVICE_UNKNOWN`."""
    return _from_item(customer, _registration(customer, identifier))


def list_devices(customer: str) -> list[OwnedDevice]:
    """Return a customer's devices, oldest first."""
    return [_from_item(customer, item) for item in dynamodb.query(items.registrations(customer))]


def rename(customer: str, identifier: str, nickname: str) -> None:
    """Rename an active or blocked device.

    Raises, in this order, `DEVICE_UNKNOWN`, `STATUS_NOT_VALID`, `CONFLICT` and `NICKNAME_TAKEN`.
    """
    registration = _not_ended(customer, identifier)
    if nickname == registration["nickname"]:
        return
    device, binding = registration["pk"], registration["binding"]
    lock, new_lock = items.nickname_lock(customer, registration["nickname"]), items.nickname_lock(customer, nickname)
    unchanged = _unchanged_since_read(registration).raises(_why_changed(registration))
    writes: list[Write] = [items.registration(device).update(set={"nickname": nickname}, when=unchanged)]
    if new_lock != lock:
        writes += [
            lock.delete(when=_lock_belongs_to(binding)),
            new_lock.put({"device": device, "binding": binding}, when=_NICKNAME_NOT_LOCKED),
        ]
    dynamodb.transact(writes)


def set_push_handle(customer: str, identifier: str, platform: PushPlatform, handle: str) -> None:
    """Register an active device for push notifications.

    Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` and `PUSH_REGISTERED`.
    """
    now = clock.now()
    still_valid = equals("push_platform", platform) & equals("push_handle", handle) & above("push_expiration_date", now)
    _change(
        customer,
        identifier,
        Status.ACTIVE,
        _push_registration(platform, handle, now),
        unless=still_valid,
        otherwise=Reason.PUSH_REGISTERED,
    )


def block(customer: str, identifier: str) -> None:
    """Block an active device, ending its connections. Raises `DEVICE_UNKNOWN` and `STATUS_NOT_VALID`."""
    _change(customer, identifier, Status.ACTIVE, {"status": Status.BLOCKED, "leases": {}})


def unblock(customer: str, identifier: str) -> None:
    """Unblock a device. Raises `DEVICE_UNKNOWN` and `STATUS_NOT_VALID`."""
    _change(customer, identifier, Status.BLOCKED, {"status": Status.ACTIVE})


def unregister(customer: str, identifier: str) -> str:
    """End a registration and return its identifier. Raises `DEVICE_UNKNOWN`, `STATUS_NOT_VALID` and `CONFLICT`."""
    registration = _not_ended(customer, identifier)
    dynamodb.transact(end_registration(registration, _why_changed(registration)))
    return registration["identifier"]


def end_registration(registration: items.Registration, raises: Verdict) -> list[Update | Delete]:
    """End a registration. The writes raise `raises` if it has changed."""
    _, customer = identity.holder_parts(registration["holder"])
    return [
        items.registration(registration["pk"]).update(
            set={"status": Status.UNREGISTERED},
            remove=["leases"],
            when=_unchanged_since_read(registration).raises(raises),
        ),
        items.nickname_lock(customer, registration["nickname"]).delete(when=_lock_belongs_to(registration["binding"])),
    ]


def locked(lock: items.NicknameLock) -> items.Registration | None:
    """Return a nickname lock's registration, or None if it is stale."""
    registration = dynamodb.get(items.registration(lock["device"]))
    if registration is None or registration["binding"] != lock["binding"]:
        return None
    return None if registration["status"] == Status.UNREGISTERED else registration


def unlock(lock: items.NicknameLock) -> list[Check | Delete]:
    """Remove a stale nickname lock."""
    stale = absent() | ~equals("binding", lock["binding"]) | equals("status", Status.UNREGISTERED)
    return [
        items.registration(lock["device"]).check(stale.raises(Reason.CONFLICT)),
        items.key_of(Table.BINDINGS, lock).delete(when=_lock_belongs_to(lock["binding"])),
    ]


def _lock_belongs_to(binding: str) -> Condition:
    return (absent() | equals("binding", binding)).raises(Reason.CONFLICT)


def _unchanged_since_read(registration: items.Registration) -> Condition:
    return (
        equals("binding", registration["binding"])
        & one_of("status", [Status.ACTIVE, Status.BLOCKED])
        & equals("nickname", registration["nickname"])
    )


def _why_changed(registration: items.Registration) -> Verdict:
    def verdict(existing: dict[str, Any]) -> Reason:
        if existing.get("holder") != registration["holder"]:
            return Reason.DEVICE_UNKNOWN
        return Reason.STATUS_NOT_VALID if existing["status"] == Status.UNREGISTERED else Reason.CONFLICT

    return verdict


def _change(
    customer: str,
    identifier: str,
    status: Status,
    changes: items.Registration,
    *,
    unless: Condition | None = None,
    otherwise: Reason = Reason.STATUS_NOT_VALID,
) -> None:
    holder = identity.customer_holder(customer)

    def verdict(existing: dict[str, Any]) -> Reason:
        if existing.get("holder") != holder:
            return Reason.DEVICE_UNKNOWN
        return otherwise if existing["status"] == status else Reason.STATUS_NOT_VALID

    when = equals("holder", holder) & equals("status", status)
    if unless is not None:
        when &= ~unless
    key = items.registration(identity.customer_device(identifier))
    # A transaction, because its idempotency token makes a retry after a lost response succeed.
    dynamodb.transact([key.update(set=changes, when=when.raises(verdict))])


def _push_registration(platform: PushPlatform | None, handle: str | None, now: int) -> items.Registration:
    complete = platform is not None and handle is not None
    return {
        "push_platform": platform,
        "push_handle": handle,
        "push_id": bindings.new_id() if complete else None,
        "push_expiration_date": now + PUSH_LIFETIME if complete else None,
    }


def _not_ended(customer: str, identifier: str) -> items.Registration:
    registration = _registration(customer, identifier)
    if registration["status"] == Status.UNREGISTERED:
        raise Refused(Reason.STATUS_NOT_VALID)
    return registration


def _registration(customer: str, identifier: str) -> items.Registration:
    item = dynamodb.get(items.registration(identity.customer_device(identifier)))
    if item is None or item["holder"] != identity.customer_holder(customer):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return item


def _from_item(customer: str, item: items.Registration) -> OwnedDevice:
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
