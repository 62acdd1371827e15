"""Keys that nobody has: counted for each network that presents them, so that whoever tries keys is told to wait.

Whoever presents an unknown key has no name but an address, which strangers share. So a good key is always let through,
and nobody else pays: the count is written once a key has been looked for in vain, and never read.
"""

from typing import ClassVar, NoReturn

from bindery.aws.dynamodb import Item, Key, Table
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory.accounts import KeyKind
from bindery.registry import identity
from bindery.security.secrets import fingerprint
from bindery.security.throttling import GuessThrottle, Limit

REMEMBERED = 1000
"""How many counts an execution environment remembers at most, before it begins anew."""

_DIGITS = 5
"""Hex digits of a network's hash: a million counts, each of some four thousand IPv4 addresses. So few digits name none
of them, even to whoever hashes all addresses there are; and two networks of one count share its free misses, no more.
"""

_counts: dict[Key, Item] = {}


class KeyGuesses(GuessThrottle):
    """The keys of one kind that one network presented in vain today."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (Limit("failures", "last_at", 20, Reason.KEY_THROTTLED),)


def refuse(kind: KeyKind, source_ip: str) -> NoReturn:
    """Refuse a key that is none, presented from this IP address, and count it: one write.

    Raises `KEY_UNKNOWN`, and beyond the free ones `KEY_THROTTLED`. What comes before the wait is over is not counted by
    the execution environment that counted last: so a flood of misses is no flood of writes to one item.
    """
    place = key(kind, source_ip)
    misses = KeyGuesses.admit(place, _counts.get(place))
    if len(_counts) >= REMEMBERED:
        _counts.clear()
    _counts[place] = count = misses.fail()
    KeyGuesses.admit(place, count)
    raise Refused(Reason.KEY_UNKNOWN)


def clear_cache() -> None:
    """Forget the counts (for a process whose tables are made anew: tests)."""
    _counts.clear()


def key(kind: KeyKind, source_ip: str) -> Key:
    """Where today's misses of a network stand."""
    network = fingerprint(f"{identity.network(source_ip)} {clock.today().isoformat()}")[:_DIGITS]
    return Key(Table.BINDINGS, f"attempts#{kind}#{network}", "keys")
