"""Settings of the installation."""

from collections.abc import Mapping

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

Setting = bool | int | str
"""A JSON value: `1` is neither `"1"` nor `true`."""

DEVICE_MANAGEMENT = "device_management"
"""vodlix: 1 if devices may add themselves."""

CACHED = 60
"""Seconds for which an execution environment keeps a value."""

_DEFAULTS: Mapping[str, Setting] = {DEVICE_MANAGEMENT: 1}
_VALUES: Mapping[str, tuple[Setting, ...]] = {DEVICE_MANAGEMENT: (0, 1)}

# The time of the read in milliseconds, and the value, by name. Only requests fill it, so no snapshot contains a value.
_cache: dict[str, tuple[int, Setting]] = {}


def get(name: str) -> Setting:
    """Return a setting's value or default. Raises `NOT_FOUND`."""
    fallback, record = default(name), dynamodb.get(items.setting(name))
    value: Setting = fallback if record is None else record["value"]
    return value


def cached(name: str) -> Setting:
    """Return a setting's value, at most `CACHED` seconds old. Raises `NOT_FOUND`."""
    now = clock.now()
    read_at, value = _cache.get(name, (0, 0))
    # The clock may have been set back.
    if not 0 <= now - read_at < CACHED * 1000:
        value = get(name)
        _cache[name] = now, value
    return value


def clear_cache() -> None:
    """Clear the cache."""
    _cache.clear()


def names() -> list[str]:
    """Return all names."""
    return sorted(_DEFAULTS)


def default(name: str) -> Setting:
    """Return a setting's default. Raises `NOT_FOUND`."""
    if name not in _DEFAULTS:
        raise Refused(Reason.NOT_FOUND)
    return _DEFAULTS[name]


def change(name: str, value: Setting) -> None:
    """Change a setting, in other environments after `CACHED` seconds. Raises `NOT_FOUND` and `INVALID`."""
    default(name)
    if not any(value == other and type(value) is type(other) for other in _VALUES[name]):
        raise Refused(Reason.INVALID, at="value", detail=f"{name} is {' or '.join(map(str, _VALUES[name]))}")
    dynamodb.write(items.setting(name).put({"value": value}))
    clear_cache()
