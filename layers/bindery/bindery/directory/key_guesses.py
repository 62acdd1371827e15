"""Throttle for unknown API keys: counted for each network that presents them.

A caller with an unknown key is identified only by an address, which strangers may share. So a valid key is never
throttled: the count is written after a key was not found, and never read for a valid one.
"""

from typing import Any, ClassVar, NoReturn

from bindery.aws.dynamodb import Key
from bindery.core.errors import Reason, Refused
from bindery.directory.accounts import KeyKind
from bindery.registry import items
from bindery.security.throttling import GuessThrottle, Limit

REMEMBERED = 1000
"""Maximum number of counts that an execution environment remembers; then it clears them."""

_counts: dict[Key[items.Attempts], dict[str, Any]] = {}


class KeyGuesses(GuessThrottle):
    """The unknown keys of one kind that one network presented today."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 20, Reason.KEY_THROTTLED),)


def refuse(kind: KeyKind, source_ip: str) -> NoReturn:
    """Refuse an unknown key presented from this IP address, and count it: one write.

    Raises `KEY_UNKNOWN`, and beyond the free attempts `KEY_THROTTLED`. Attempts before the delay is over are not
    counted by the execution environment that counted last, so a flood of guesses does not flood one item with writes.
    """
    key = items.key_guesses(kind, source_ip)
    guesses = KeyGuesses.accept(key, _counts.get(key))
    if len(_counts) >= REMEMBERED:
        _counts.clear()
    _counts[key] = count = guesses.fail()
    KeyGuesses.accept(key, count)
    raise Refused(Reason.KEY_UNKNOWN)


def clear_cache() -> None:
    """Clear the remembered counts (for a process whose tables are recreated: tests)."""
    _counts.clear()
