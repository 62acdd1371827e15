"""Devices: identity, manufacturing facts, ban, activity and service address, whoever holds them.

What a holder says of a device (its name, its firmware) is stored in the binding and ends with it.
"""

import uuid

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Update
from bindery.aws.expressions import absent, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items

NOT_BANNED = absent("banned_at").raises(Reason.DEVICE_BANNED)
"""Condition: the device is not banned. It need not exist."""

EXISTS = exists().raises(Reason.NOT_FOUND)
"""Condition: the device exists."""

_MANUFACTURED = exists("device_key").raises(
    lambda found: Reason.INVALID if found else Reason.NOT_FOUND,
    detail="Only a device that was manufactured (quectel) is disabled; others are banned.",
)


def banned(device: items.Device | None) -> bool:
    """Return True if a device exists and is banned."""
    return device is not None and "banned_at" in device


def seen(device: str, dialect: str, facts: items.Device | None = None) -> Update:
    """Create a device or replace `facts` of it. The write raises `DEVICE_BANNED`."""
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
    """Create or replace the manufacturing record of a quectel device and return the device's identity.

    Bindings, a ban and `disabled` stay as they are.
    """
    device = identity.manufactured_device(product_key, serial)
    dynamodb.write(manufactured(device, manufacturing(product_key, serial, device_key, module_type, data_center)))
    return device


def manufacturing(
    product_key: str, serial: str, device_key: str | None, module_type: str | None, data_center: str | None
) -> items.Device:
    """Return the manufacturing record of a quectel device."""
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
    """Return a page of the devices that have a serial number: their keys. Raises `INVALID` for an invalid cursor."""
    return dynamodb.page(items.devices_with_serial(serial), limit, cursor)


def ban(device: str, why: str) -> None:
    """Ban a device: no bind, add or connect request succeeds from now on. Raises `NOT_FOUND`.

    A device that is already banned keeps the first reason, with its time and operator.
    """
    banned_now: items.Device = {"banned_at": clock.now(), "ban_reason": why, "banned_by": dynamodb.actor()}
    try:
        dynamodb.write(
            items.device(device).update(
                set=banned_now,
                remove=["unbanned_at", "unbanned_by"],
                when=(exists() & absent("banned_at")).raises(
                    lambda found: Reason.DEVICE_BANNED if found else Reason.NOT_FOUND
                ),
            )
        )
    except Refused as refused:
        if refused.reason is not Reason.DEVICE_BANNED:
            raise


def unban(device: str) -> None:
    """Lift a ban. Its reason is kept, with time and operator of the unban. Earlier connections stay ended.

    Raises `NOT_FOUND` and `CONFLICT` (see `_resume`).
    """
    _resume(device, ["banned_at", "banned_by"], {"unbanned_at": clock.now(), "unbanned_by": dynamodb.actor()})


def unbound(device: str, why: str) -> Update:
    """Record that an operator ended a binding of the device, and why. The write raises `NOT_FOUND`."""
    return items.device(device).update(
        set={"unbound_at": clock.now(), "unbind_reason": why, "unbound_by": dynamodb.actor()}, when=EXISTS
    )


def set_enabled(device: str, enabled: bool) -> None:
    """Allow or prevent new bindings of a manufactured device (quectel). Raises `NOT_FOUND`, `INVALID` for any other."""
    key = items.device(device)
    dynamodb.write(
        key.update(remove=["disabled"], when=_MANUFACTURED)
        if enabled
        else key.update(set={"disabled": True}, when=_MANUFACTURED)
    )


def activate(device: str) -> None:
    """Allow connections to a device again. Earlier connections stay ended.

    Raises `NOT_FOUND` and `CONFLICT` (see `_resume`).
    """
    _resume(device, ["inactive"], {})


def deactivate(device: str) -> None:
    """End the connections to a device and refuse new ones. Raises `NOT_FOUND`."""
    dynamodb.write(items.device(device).update(set={"inactive": True}, when=EXISTS))


def _resume(device: str, obstacles: list[str], noted: items.Device) -> None:
    """Remove what blocked connections to a device, store `noted`, and give its service address a new assignment.

    A lease names the assignment that it was made under, so no earlier lease becomes valid again. Does nothing unless
    the first of `obstacles` exists. Raises `NOT_FOUND` and `CONFLICT` (a concurrent write changed the address).
    """
    key = items.device(device)
    found = dynamodb.get(key)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    if obstacles[0] not in found:
        return
    if "address" not in found:
        no_address = (exists() & absent("address")).raises(Reason.CONFLICT)
        dynamodb.write(key.update(set=noted, remove=obstacles, when=no_address))
        return
    assignment = uuid.uuid4().hex
    renewed: items.Device = {"assignment": assignment}
    unchanged = equals("assignment", found["assignment"]).raises(Reason.CONFLICT)
    dynamodb.transact(
        [
            key.update(set=renewed | noted, remove=obstacles, when=unchanged),
            items.service_address(found["address"]).update(set={"assignment": assignment}, when=unchanged),
        ]
    )
