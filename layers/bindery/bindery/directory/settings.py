"""Settings of the installation, which operators change while it runs; each has a default."""

from collections.abc import Mapping

from bindery.aws import dynamodb
from bindery.core.errors import Reason, Refused
from bindery.registry import items

Setting = bool | int | str
"""A value that keeps its JSON type: `1` is neither `"1"` nor `true`."""

DEVICE_MANAGEMENT = "device_management"
"""vodlix: 1 if devices may add themselves."""

_DEFAULTS: Mapping[str, Setting] = {DEVICE_MANAGEMENT: 1}
_VALUES: Mapping[str, tuple[Setting, ...]] = {DEVICE_MANAGEMENT: (0, 1)}
"""Valid values of each setting."""


def get(name: str) -> Setting:
    """Return the value of a setting, or its default. Raises `NOT_FOUND` for an unknown setting."""
    fallback, record = default(name), dynamodb.get(items.setting(name))
    value: Setting = fallback if record is None else record["value"]
    return value


def names() -> list[str]:
    """Return the names of all settings."""
    return sorted(_DEFAULTS)


def default(name: str) -> Setting:
    """Return the default of a setting. Raises `NOT_FOUND` for an unknown setting."""
    if name not in _DEFAULTS:
        raise Refused(Reason.NOT_FOUND)
    return _DEFAULTS[name]


def change(name: str, value: Setting) -> None:
    """Change a setting; later requests use the new value.

    Raises `NOT_FOUND` for an unknown setting and `INVALID` for a value that it cannot have.
    """
    default(name)
    if not any(value == other and type(value) is type(other) for other in _VALUES[name]):
        raise Refused(Reason.INVALID, at="value", detail=f"{name} is {' or '.join(map(str, _VALUES[name]))}")
    dynamodb.write(items.setting(name).put({"value": value}))
