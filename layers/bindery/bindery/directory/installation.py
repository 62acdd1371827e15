"""Settings of the installation, which operators change while it runs; each has a default."""

from collections.abc import Mapping

from bindery import dynamo
from bindery.dynamo import Key, Put, Table
from bindery.faults import Fault, Reason

Setting = bool | int | str
"""A setting keeps the JSON type that it was given: `1` is not `"1"`, nor `true`."""

DEVICE_MANAGEMENT = "device_management"
"""vodlix: whether devices may add themselves."""

_DEFAULTS: Mapping[str, Setting] = {DEVICE_MANAGEMENT: 1}


def key(name: str) -> Key:
    """Where a setting stands in the directory."""
    return Key(Table.DIRECTORY, f"setting#{name}", "setting")


def read(name: str) -> Setting:
    """The value of a setting: what was last set, or its default."""
    record = dynamo.get(key(name))
    value: Setting = _DEFAULTS[name] if record is None else record["value"]
    return value


def change(name: str, value: Setting) -> None:
    """Set a setting; requests that come in after this follow it. Raises `NOT_FOUND`: there is no such setting."""
    if name not in _DEFAULTS:
        raise Fault(Reason.NOT_FOUND)
    dynamo.write(Put(key(name), {"value": value}))
