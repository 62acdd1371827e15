"""Devices: what exists, whoever holds it. Identity, manufacturing facts, ban, activity and service address.

What a holder says of a device (its name, its firmware) stands with the binding and ends with it.
"""

from collections.abc import Mapping

from bindery import clock, dynamo, identity
from bindery.dynamo import Condition, Item, Key, Table, Update
from bindery.faults import Reason

NOT_BANNED = Condition(expression="attribute_not_exists(#banned_at)", otherwise=Reason.DEVICE_BANNED)
"""Holds a write to a device that is not banned; a device that nobody entered yet is not."""


def key(device: str) -> Key:
    """Where a device stands, by its canonical identity (`bindery.identity`)."""
    return Key(Table.DEVICES, device)


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
    facts = {
        "dialect": "quectel",
        "product_key": identity.canonical(product_key),
        "serial": identity.canonical(serial),
        "device_key": device_key,
        "module_type": module_type,
        "data_center": data_center,
    }
    dynamo.write(
        Update(
            key(device),
            "SET #created_at = if_not_exists(#created_at, :now), " + ", ".join(f"#{name} = :{name}" for name in facts),
            {":now": clock.now()} | {f":{name}": value for name, value in facts.items()},
        )
    )
    return device


def ban(device: str, why: str) -> None:
    """Ban a device: from now on it is neither bound, nor added, nor connected to. Raises `NOT_FOUND`."""
    _change(
        device,
        "SET #banned_at = if_not_exists(#banned_at, :now), #ban_reason = :why",
        {":now": clock.now(), ":why": why},
    )


def unban(device: str) -> None:
    """Lift a ban. Raises `NOT_FOUND`."""
    _change(device, "REMOVE #banned_at, #ban_reason", {})


def set_enabled(device: str, enabled: bool) -> None:
    """Let a device be bound (quectel), or no longer. Raises `NOT_FOUND`."""
    _change(device, "REMOVE #disabled" if enabled else "SET #disabled = :true", {} if enabled else {":true": True})


def set_active(device: str, active: bool) -> None:
    """Say whether a device can be reached at its service address. Raises `NOT_FOUND`."""
    _change(device, "REMOVE #inactive" if active else "SET #inactive = :true", {} if active else {":true": True})


def _change(device: str, expression: str, values: Item) -> None:
    exists = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
    dynamo.write(Update(key(device), expression, values, exists))
