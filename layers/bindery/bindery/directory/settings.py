"""Settings of the installation, which operators change while it runs; each has a default."""

from collections.abc import Mapping

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put, Table
from bindery.core.errors import Reason, Refused

Setting = bool | int | str
"""A setting keeps the JSON type that it was given: `1` is not `"1"`, nor `true`."""

DEVICE_MANAGEMENT = "device_management"
"""vodlix: whether devices may add themselves."""

_DEFAULTS: Mapping[str, Setting] = {DEVICE_MANAGEMENT: 1}
_VALUES: Mapping[str, tuple[Setting, ...]] = {DEVICE_MANAGEMENT: (0, 1)}
"""The values that each setting can have."""


def key(name: str) -> Key:
    """Where a setting stands in the directory."""
    return Key(Table.DIRECTORY, f"setting#{name}", "setting")


def read(name: str) -> Setting:
    """The value of a setting: what was last set, or its default. Raises `NOT_FOUND`: there is no such setting."""
    otherwise, record = default(name), dynamodb.get(key(name))
    value: Setting = otherwise if record is None else record["value"]
    return value


def names() -> list[str]:
    """Every setting that there is."""
    return sorted(_DEFAULTS)


def default(name: str) -> Setting:
    """What a setting is until someone sets it. Raises `NOT_FOUND`: there is no such setting."""
    if name not in _DEFAULTS:
        raise Refused(Reason.NOT_FOUND)
    return _DEFAULTS[name]


def change(name: str, value: Setting) -> None:
    """Change a setting; later requests use the new value.

    Raises `NOT_FOUND` (there is no such setting) and `INVALID` (the setting cannot have this value).
    """
    default(name)
    if not any(value == other and type(value) is type(other) for other in _VALUES[name]):
        raise Refused(Reason.INVALID, at="value", detail=f"{name} is {' or '.join(map(str, _VALUES[name]))}")
    dynamodb.write(Put(key(name), {"value": value}))
