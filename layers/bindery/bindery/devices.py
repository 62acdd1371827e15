"""Devices: what exists, whoever holds it. Identity, manufacturing facts, ban, activity and service address.

What a holder says of a device (its name, its firmware) stands with the binding and ends with it.
"""

from bindery import clock, dynamo
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


def seen(device: str, dialect: str) -> Update:
    """The part of a bind that makes the device exist, and fails with `DEVICE_BANNED`."""
    return Update(
        key(device),
        "SET #dialect = :dialect, #created_at = if_not_exists(#created_at, :now)",
        {":dialect": dialect, ":now": clock.now()},
        NOT_BANNED,
    )


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


def set_active(device: str, active: bool) -> None:
    """Say whether a device can be reached at its service address. Raises `NOT_FOUND`."""
    _change(device, "REMOVE #inactive" if active else "SET #inactive = :true", {} if active else {":true": True})


def _change(device: str, expression: str, values: Item) -> None:
    exists = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
    dynamo.write(Update(key(device), expression, values, exists))
