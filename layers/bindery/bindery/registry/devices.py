"""Devices. Holders' own facts are in the bindings."""

import uuid

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Delete, Update
from bindery.aws.expressions import absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items

NOT_BANNED = absent("banned_at").raises(Reason.DEVICE_BANNED)
"""Condition: the device, if it exists, is not banned."""

EXISTS = exists().raises(Reason.NOT_FOUND)

_MANUFACTURED = exists("device_key").raises(
    lambda found: Reason.INVALID if found else Reason.NOT_FOUND,
    detail="Only a device that was manufactured (quectel) is disabled; others are banned.",
)


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


def ban(device: str, why: str, *also: Delete) -> None:
    """Ban a device from bindings and connections, and delete `also`. Raises `NOT_FOUND`."""
    # An existing ban keeps its reason, time and operator.
    banned_now: items.Device = {"banned_at": clock.now(), "ban_reason": why, "banned_by": dynamodb.actor()}
    new = (exists() & absent("banned_at")).raises(lambda found: Reason.DEVICE_BANNED if found else Reason.NOT_FOUND)
    record = items.device(device).update(set=banned_now, remove=["unbanned_at", "unbanned_by"], when=new)
    try:
        dynamodb.transact([record, *also])
    except Refused as refused:
        if refused.reason is not Reason.DEVICE_BANNED:
            raise


def unban(device: str) -> None:
    """Lift a ban, but keep its reason. Raises `NOT_FOUND` or `CONFLICT`."""
    _resume(device, ["banned_at", "banned_by"], {"unbanned_at": clock.now(), "unbanned_by": dynamodb.actor()})


def unbound(device: str, why: str) -> Update:
    """Record that an operator ended a binding. Raises `NOT_FOUND`."""
    return items.device(device).update(
        set={"unbound_at": clock.now(), "unbind_reason": why, "unbound_by": dynamodb.actor()}, when=EXISTS
    )


def set_enabled(device: str, enabled: bool) -> None:
    """Allow or prevent new bindings. Raises `NOT_FOUND`, or `INVALID` (not quectel's)."""
    key = items.device(device)
    dynamodb.write(
        key.update(remove=["disabled"], when=_MANUFACTURED)
        if enabled
        else key.update(set={"disabled": True}, when=_MANUFACTURED)
    )


def activate(device: str) -> None:
    """Allow connections again. Raises `NOT_FOUND` or `CONFLICT`."""
    _resume(device, ["inactive"], {})


def deactivate(device: str) -> None:
    """Prevent connections and end those open. Raises `NOT_FOUND`."""
    dynamodb.write(items.device(device).update(set={"inactive": True}, when=EXISTS))


def _resume(device: str, obstacles: list[str], noted: items.Device) -> None:
    # The service addresses get a new assignment: leases refer to theirs, so earlier ones do not become valid again.
    # CONFLICT: a concurrent write changed the addresses.
    key = items.device(device)
    found = dynamodb.get(key)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    if obstacles[0] not in found:
        return
    if "services" not in found:
        no_services = (exists() & absent("services")).raises(Reason.CONFLICT)
        dynamodb.write(key.update(set=noted, remove=obstacles, when=no_services))
        return
    services, assignment = found["services"], uuid.uuid4().hex
    renewed: dict[str, items.Service] = {at: {**old, "assignment": assignment} for at, old in services.items()}
    unchanged = equals("services", services).raises(Reason.CONFLICT)
    # Addresses and device change in the same transactions, so only the device's condition can fail.
    dynamodb.transact(
        [
            key.update(set={**noted, "services": renewed}, remove=obstacles, when=unchanged),
            *(items.service_address(at).update(set={"assignment": assignment}) for at in services),
        ]
    )
