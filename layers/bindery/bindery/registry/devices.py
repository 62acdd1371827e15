"""Devices: what exists, whoever holds it. Identity, manufacturing facts, ban, activity and service address.

What a holder says of a device (its name, its firmware) stands with the binding and ends with it.
"""

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity

BY_SERIAL = "by_serial"
"""The index by serial number (rufus, quectel), which holds the keys alone."""

NOT_BANNED = Condition(expression="attribute_not_exists(#banned_at)", otherwise=Reason.DEVICE_BANNED)
"""Holds a write to a device that is not banned; a device that nobody entered yet is not."""

EXISTS = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
"""Holds a write to a device that is there."""


_MANUFACTURED = Condition(
    expression="attribute_exists(#device_key)",
    otherwise=lambda found: Reason.INVALID if found else Reason.NOT_FOUND,
    detail={"detail": "Only a device that was manufactured (quectel) is disabled; others are banned."},
)


def key(device: str) -> Key:
    """Where a device stands, by its canonical identity (`bindery.registry.identity`)."""
    return Key(Table.DEVICES, device)


def address_key(address: str) -> Key:
    """Key of a service address in the directory."""
    return Key(Table.DIRECTORY, f"address#{address}", "address")


def banned(record: Item | None) -> bool:
    """Whether a device's record says that it is banned."""
    return record is not None and "banned_at" in record


def seen(device: str, dialect: str, facts: Mapping[str, str | int] | None = None) -> Update:
    """The write that makes a device exist and replaces `facts` of it all together; fails with `DEVICE_BANNED`."""
    given = {"dialect": dialect, **(facts or {})}
    return Update(
        key(device),
        "SET #created_at = if_not_exists(#created_at, :now), " + ", ".join(f"#{name} = :{name}" for name in given),
        {":now": clock.now()} | {f":{name}": value for name, value in given.items()},
        NOT_BANNED,
    )


def manufacture(
    product_key: str,
    serial: str,
    *,
    device_key: str | None = None,
    module_type: str | None = None,
    data_center: str | None = None,
) -> str:
    """Enter the manufacturing record of a quectel device, or replace it, and return the device's identity.

    Who holds the device, whether it is banned and whether it is disabled stay as they are.
    """
    device = identity.manufactured_device(product_key, serial)
    dynamodb.write(manufactured(device, manufacturing(product_key, serial, device_key, module_type, data_center)))
    return device


def manufacturing(
    product_key: str, serial: str, device_key: str | None, module_type: str | None, data_center: str | None
) -> Item:
    """The manufacturing record of a quectel device: attributes that stand in its item together."""
    return {
        "dialect": "quectel",
        "product_key": identity.canonical(product_key),
        "serial": identity.canonical(serial),
        "device_key": device_key,
        "module_type": module_type,
        "data_center": data_center,
    }


def manufactured(device: str, record: Item) -> Update:
    """The write that enters a manufacturing record, or replaces it, and leaves all else of the device as it is."""
    return Update(
        key(device),
        "SET #created_at = if_not_exists(#created_at, :now), " + ", ".join(f"#{name} = :{name}" for name in record),
        {":now": clock.now()} | {f":{name}": value for name, value in record.items()},
    )


def with_serial(serial: str, limit: int, cursor: str | None) -> Page:
    """Part of the list of devices (their keys) that have a serial number. Raises `INVALID`: the cursor is none."""
    return dynamodb.page(
        Table.DEVICES,
        "#serial = :serial",
        {":serial": identity.canonical(serial)},
        index=BY_SERIAL,
        limit=limit,
        cursor=cursor,
    )


def ban(device: str, why: str) -> None:
    """Ban a device: from now on it is neither bound, nor added, nor connected to. Raises `NOT_FOUND`.

    A device that is banned already keeps the first reason, with its time and operator.
    """
    try:
        dynamodb.write(
            Update(
                key(device),
                "SET #banned_at = :now, #ban_reason = :why, #banned_by = :who REMOVE #unbanned_at, #unbanned_by",
                {":now": clock.now(), ":why": why, ":who": dynamodb.actor()},
                Condition(
                    expression="attribute_exists(#pk) AND attribute_not_exists(#banned_at)",
                    otherwise=lambda found: Reason.DEVICE_BANNED if found else Reason.NOT_FOUND,
                ),
            )
        )
    except Refused as fault:
        if fault.reason is not Reason.DEVICE_BANNED:
            raise


def unban(device: str) -> None:
    """Lift a ban. Its reason is kept, with the time and the operator of this. Connections made before it stay ended.

    Raises `NOT_FOUND`, and `CONFLICT` (see `_resume`).
    """
    _resume(device, "banned_at", "banned_by", noted={"unbanned_at": clock.now(), "unbanned_by": dynamodb.actor()})


def unbound(device: str, why: str) -> Update:
    """The write that says with a device that, why, and by whom a binding of it was ended by force.

    It fails with `NOT_FOUND`.
    """
    return Update(
        key(device),
        "SET #unbound_at = :now, #unbind_reason = :why, #unbound_by = :who",
        {":now": clock.now(), ":why": why, ":who": dynamodb.actor()},
        EXISTS,
    )


def set_enabled(device: str, enabled: bool) -> None:
    """Let a manufactured device (quectel) be bound, or no longer. Raises `NOT_FOUND`, and `INVALID` for any other."""
    expression = "REMOVE #disabled" if enabled else "SET #disabled = :true"
    dynamodb.write(Update(key(device), expression, {} if enabled else {":true": True}, _MANUFACTURED))


def activate(device: str) -> None:
    """Allow connections to a device again. Those made before it was deactivated stay ended.

    Raises `NOT_FOUND`, and `CONFLICT` (see `_resume`).
    """
    _resume(device, "inactive")


def deactivate(device: str) -> None:
    """End the connections to a device, and refuse new ones. Raises `NOT_FOUND`."""
    _change(device, "SET #inactive = :true", {":true": True})


def _resume(device: str, obstacle: str, *others: str, noted: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Remove what kept callers from a device, write `noted`, and give its service address a new assignment.

    Leases name the assignment that they were made under, so none of an earlier time comes back. Without the obstacle
    nothing is written. Raises `NOT_FOUND`, and `CONFLICT`: a concurrent write changed the address or its assignment.
    """
    found = dynamodb.get(key(device))
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    if obstacle not in found:
        return
    removed = "REMOVE " + ", ".join(f"#{name}" for name in (obstacle, *others))
    noting, notes = "".join(f", #{name} = :{name}" for name in noted), {f":{name}": noted[name] for name in noted}
    if "address" not in found:
        no_address = Condition(
            expression="attribute_exists(#pk) AND attribute_not_exists(#address)", otherwise=Reason.CONFLICT
        )
        expression = f"SET {noting[2:]} {removed}" if noted else removed
        dynamodb.write(Update(key(device), expression, notes, no_address))
        return
    renewed, values = "SET #assignment = :new", {":new": uuid.uuid4().hex}
    unchanged = Condition(
        expression="#assignment = :read", values={":read": found["assignment"]}, otherwise=Reason.CONFLICT
    )
    dynamodb.transact(
        [
            Update(key(device), f"{renewed}{noting} {removed}", values | notes, unchanged),
            Update(address_key(found["address"]), renewed, values, unchanged),
        ]
    )


def _change(device: str, expression: str, values: Item) -> None:
    dynamodb.write(Update(key(device), expression, values, EXISTS))
