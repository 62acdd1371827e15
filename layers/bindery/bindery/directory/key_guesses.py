"""Throttle for unknown API keys, credentials of devices and labels of connections, by network.

Strangers may share a network, so a valid key is never throttled.
"""

from typing import Any, ClassVar, Literal, NoReturn

from bindery.aws.dynamodb import Key
from bindery.core.errors import Reason, Refused
from bindery.directory.accounts import KeyKind
from bindery.registry import items
from bindery.security.throttling import GuessThrottle, Limit

REMEMBERED = 1000
"""Counts that an execution environment caches."""

_counts: dict[Key[items.Attempts], dict[str, Any]] = {}


class KeyGuesses(GuessThrottle):
    """Today's unknown keys from one network."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 20, Reason.KEY_THROTTLED),)


def refuse(kind: KeyKind | Literal["device", "label"], source_ip: str) -> NoReturn:
    """Count and refuse an unknown key. Raises `KEY_UNKNOWN` and `KEY_THROTTLED`.

    During a known delay it is not counted: a flood of guesses causes few writes.
    """
    key = items.key_guesses(kind, source_ip)
    guesses = KeyGuesses.accept(key, _counts.get(key))
    if len(_counts) >= REMEMBERED:
        _counts.clear()
    _counts[key] = count = guesses.fail()
    KeyGuesses.accept(key, count)
    raise Refused(Reason.KEY_UNKNOWN)


def clear_cache() -> None:
    """Clear the cache."""
    _counts.clear()
