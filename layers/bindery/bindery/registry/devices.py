"""Devices. Holders' own facts are in the bindings."""

import uuid
from collections.abc import Callable, Sequence

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Put, Update, Write
from bindery.aws.expressions import Condition, absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import acts, identity, items, ownership

BAN = ["banned_at", "banned_by", "ban_kind"]
"""Attributes of a ban, except its reason, which is kept."""

LIFTED = ["unbanned_at", "unbanned_by"]
"""Attributes of a lifted ban."""

NOT_BANNED = absent("banned_at").raises(Reason.DEVICE_BANNED)
"""Condition: the device, if it exists, is not banned."""

EXISTS = exists().raises(Reason.NOT_FOUND)

_MANUFACTURED = exists("device_key")

_NOT_MANUFACTURED = "Only a device that was manufactured (quectel) is disabled; others are banned."

_UNCHANGED = Reason.STATUS_NOT_VALID
"""Reason for the failed condition of a change that was made before."""


def banned(device: items.Device | None) -> bool:
    """Return True if a device is banned."""
    return device is not None and "banned_at" in device


def seen(device: str, dialect: str, facts: items.Device | None = None) -> Update:
    """Create a device or replace `facts`. The write raises `DEVICE_BANNED`."""
    known: items.Device = {"dialect": dialect}
    return items.device(device).update(set=known | (facts or {}), once={"created_at": clock.now()}, when=NOT_BANNED)


def manufacture(
    product_key: str,
    serial: str,
    *,
    device_key: str | None = None,
    module_type: str | None = None,
    data_center: str | None = None,
) -> str:
    """Create or replace a manufacturing record, and return the device's key."""
    device = identity.manufactured_device(product_key, serial)
    dynamodb.write(manufactured(device, manufacturing(product_key, serial, device_key, module_type, data_center)))
    return device


def manufacturing(
    product_key: str, serial: str, device_key: str | None, module_type: str | None, data_center: str | None
) -> items.Device:
    """Return a manufacturing record."""
    return {
        "dialect": "quectel",
        "product_key": identity.canonical(product_key),
        "serial": identity.canonical(serial),
        "device_key": device_key,
        "module_type": module_type,
        "data_center": data_center,
    }


def manufactured(device: str, record: items.Device) -> Update:
    """Create or replace a manufacturing record."""
    return items.device(device).update(set=record, once={"created_at": clock.now()})


def list_with_serial(serial: str, limit: int, cursor: str | None) -> CursorPage[items.Device]:
    """Return a page of the keys of devices with a serial number."""
    return dynamodb.page(items.devices_with_serial(serial), limit, cursor)


def ban(device: str, why: str, *also: Write, kind: items.BanKind | None = None) -> None:
    """Ban a device from bindings and connections, with the writes `also`.

    Raises `NOT_FOUND`, and `DEVICE_BANNED` if a ban of this kind does not replace the device's.
    """

    def verdict(found: items.Device) -> Reason:
        if not found:
            return Reason.NOT_FOUND
        return _UNCHANGED if found.get("ban_kind") == kind else Reason.DEVICE_BANNED

    # An existing ban keeps its reason, time and operator. A lost or retired device can be banned: then it is only that.
    new = exists() & (absent("banned_at") if kind else absent("banned_at") | exists("ban_kind"))
    removed = [*LIFTED] if kind else ["ban_kind", *LIFTED]
    record = items.device(device).update(set=banned_now(why, kind), remove=removed, when=new.raises(verdict))
    _change([record, *also])


def banned_now(why: str, kind: items.BanKind | None = None) -> items.Device:
    """Return the attributes of a new ban."""
    ban: items.Device = {"banned_at": clock.now(), "ban_reason": why, "banned_by": dynamodb.actor()}
    if kind is not None:
        ban["ban_kind"] = kind
    return ban


def unbanned_now() -> items.Device:
    """Return the attributes of a lifted ban."""
    return {"unbanned_at": clock.now(), "unbanned_by": dynamodb.actor()}


def unban(device: str) -> None:
    """Lift a plain ban, but keep its reason. Raises `NOT_FOUND`, `DEVICE_BANNED` (lost or retired) or `CONFLICT`."""
    _lift(device, None, acts.of(device, did="unbanned"))


def find(device: str) -> None:
    """Lift the ban of a lost device, but keep its reason. Raises like `unban`."""
    _lift(device, "lost", acts.of(device, did="found"))


def unbound(device: str, why: str) -> Update:
    """Record that an operator ended a binding. Raises `NOT_FOUND`."""
    return items.device(device).update(set=unbound_now(why), when=EXISTS)


def unbound_now(why: str) -> items.Device:
    """Return the attributes of a device whose binding an operator ended."""
    return {"unbound_at": clock.now(), "unbind_reason": why, "unbound_by": dynamodb.actor()}


def set_enabled(device: str, enabled: bool) -> None:
    """Allow or prevent new bindings. Raises `NOT_FOUND`, or `INVALID` (not quectel's)."""
    key = items.device(device)
    if enabled:
        disabled = (_MANUFACTURED & exists("disabled")).raises(_why_not_enabled, detail=_NOT_MANUFACTURED)
        _change([key.update(remove=["disabled"], when=disabled), *acts.of(device, did="enabled")])
    else:
        not_disabled = (_MANUFACTURED & absent("disabled")).raises(_why_not_enabled, detail=_NOT_MANUFACTURED)
        _change([key.update(set={"disabled": True}, when=not_disabled), *acts.of(device, did="disabled")])


def _why_not_enabled(found: items.Device) -> Reason:
    if not found:
        return Reason.NOT_FOUND
    return _UNCHANGED if "device_key" in found else Reason.INVALID


def activate(device: str) -> None:
    """Allow connections again. Raises `NOT_FOUND` or `CONFLICT`."""
    _resume(device, ["inactive"], {}, acts.of(device, did="activated"))


def deactivate(device: str) -> None:
    """Prevent connections and end those open. Raises `NOT_FOUND`."""
    active = (exists() & absent("inactive")).raises(lambda found: _UNCHANGED if found else Reason.NOT_FOUND)
    change = items.device(device).update(set={"inactive": True}, when=active)
    _change([change, *acts.of(device, did="deactivated")])


def _lift(device: str, kind: items.BanKind | None, act: list[Put]) -> None:
    def same_kind(found: items.Device) -> Condition:
        if found.get("ban_kind") != kind:
            state = ownership.state_of(found, held=False, offer=None)
            raise Refused(Reason.DEVICE_BANNED, detail=ownership.BANS[state].value)
        return absent("ban_kind") if kind is None else equals("ban_kind", kind)

    _resume(device, BAN, unbanned_now(), act, same_kind)


def _resume(
    device: str,
    obstacles: list[str],
    noted: items.Device,
    act: list[Put],
    check: Callable[[items.Device], Condition] = lambda found: exists(),
) -> None:
    # The service addresses get a new assignment: leases refer to theirs, so earlier ones do not become valid again.
    # CONFLICT: a concurrent write changed the addresses.
    key, obstacle = items.device(device), obstacles[0]
    found = dynamodb.get(key)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    if obstacle not in found:
        return
    services, assignment = found.get("services"), uuid.uuid4().hex
    same_services = absent("services") if services is None else equals("services", services)
    unchanged = (exists(obstacle) & check(found) & same_services).raises(
        lambda existing: Reason.CONFLICT if obstacle in existing else _UNCHANGED
    )
    renewed: items.Device = {}
    if services is not None:
        renewed["services"] = {at: {**service, "assignment": assignment} for at, service in services.items()}
    # Addresses and device change in the same transactions, so only the device's condition can fail.
    _change(
        [
            key.update(set=noted | renewed, remove=obstacles, when=unchanged),
            *(items.service_address(at).update(set={"assignment": assignment}) for at in services or ()),
            *act,
        ]
    )


def _change(writes: Sequence[Write]) -> None:
    """Write a change and the operator's act, unless the change was made before: then there is no act."""
    try:
        dynamodb.transact(writes)
    except Refused as refused:
        if refused.reason is not _UNCHANGED:
            raise
