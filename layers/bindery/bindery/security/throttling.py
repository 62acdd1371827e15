"""Throttle for what can be guessed: exponential back-off per caller after failed attempts.

An attempt is counted before its result is known, by a write that fails if concurrent attempts have used up the limit.
So parallel requests cannot try more than consecutive ones, and a request that is refused for that reason does not
reveal whether its guess was right.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Update
from bindery.aws.expressions import Condition, absent, at_most, equals, every
from bindery.core import clock
from bindery.core.errors import Reason, Refused

LONGEST = 15 * 60
"""Longest delay in seconds, unless a limit has its own."""

_DAY = 24 * 3600


class Limit(NamedTuple):
    """Number of free attempts a day (UTC). The next one causes a delay of a second, and each further one doubles it."""

    counter: str
    """Attribute that holds the number."""
    latest: str
    """Attribute that holds the time of the last attempt, in milliseconds."""
    free: int
    throttled: Reason
    """Reason for refusing a request before the delay is over, with the `seconds` to wait."""
    longest: int = LONGEST

    def wait(self, attempts: Mapping[str, Any]) -> int:
        """Return the milliseconds until the next attempt is accepted."""
        beyond = attempts.get(self.counter, 0) - self.free
        if beyond <= 0:
            return 0
        delay = min(2 ** (beyond - 1), self.longest)
        return int(attempts[self.latest] + delay * 1000 - clock.now())

    def within(self, read: int) -> Condition:
        """Condition: no attempt beyond the free ones has been counted since the number `read` was read."""
        return absent(self.counter) | at_most(self.counter, self.free) | equals(self.counter, read)

    def holds(self, attempts: Mapping[str, Any], read: int) -> bool:
        """Return what `within` states about an item."""
        now = attempts.get(self.counter, 0)
        return bool(now <= self.free or now == read)


class GuessThrottle:
    """A caller's failed attempts of today, as they were read. `LIMITS[0]` limits them."""

    LIMITS: ClassVar[tuple[Limit, ...]]

    __slots__ = ("attempts", "key")

    def __init__(self, key: Key[Any], attempts: Mapping[str, Any] | None = None) -> None:
        self.key = key
        self.attempts = attempts or {}

    @classmethod
    def accept(cls, key: Key[Any], attempts: Mapping[str, Any] | None) -> Self:
        """Accept another attempt unless the delay after the last one is not over. Raises a limit's `throttled`."""
        for limit in cls.LIMITS:
            left = limit.wait(attempts or {})
            if left > 0:
                raise Refused(limit.throttled, seconds=str(-(-left // 1000)))
        return cls(key, attempts)

    def count(self, limit: Limit | None = None) -> Update:
        """Count an attempt. The write is refused if concurrent attempts have used up a limit."""
        return _count(self.key, limit or self.LIMITS[0])._replace(when=self.within())

    def within(self) -> Condition:
        """Condition: no attempt beyond the free ones has been counted since the item was read."""
        limits = [limit.within(self._read(limit)) for limit in self.LIMITS]
        return every(limits).raises(self._exceeded, seconds="1")

    def fail(self) -> dict[str, Any]:
        """Count a failed attempt whatever the limit, and return the item. An SDK retry may count it twice."""
        return dynamodb.update(_count(self.key, self.LIMITS[0]))

    def _read(self, limit: Limit) -> int:
        return int(self.attempts.get(limit.counter, 0))

    def _exceeded(self, now: Mapping[str, Any]) -> Reason:
        exceeded = (limit for limit in self.LIMITS if not limit.holds(now, self._read(limit)))
        return next(exceeded, self.LIMITS[0]).throttled


def _count(key: Key[Any], limit: Limit) -> Update:
    now = clock.now()
    return key.update(set={limit.latest: now, "expires_at": now // 1000 + _DAY}, add={limit.counter: 1})
