"""Exponential back-off per caller after failed guesses."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Update
from bindery.aws.expressions import Condition, absent, at_most, equals, every
from bindery.core import clock
from bindery.core.errors import Reason, Refused

LONGEST = 15 * 60  # default maximum delay in seconds

_DAY = 24 * 3600


class Limit(NamedTuple):
    """Free attempts per day (UTC). The next one causes a delay of a second; each further one doubles it."""

    # Attributes with the number of attempts and the time of the last, in milliseconds.
    counter: str
    latest: str
    free: int
    # The reason for refusing a request during a delay. Its detail `seconds` is the time to wait.
    throttled: Reason
    longest: int = LONGEST

    def wait(self, attempts: Mapping[str, Any]) -> int:
        """Return the remaining delay in milliseconds."""
        beyond = attempts.get(self.counter, 0) - self.free
        if beyond <= 0:
            return 0
        delay = min(2 ** (beyond - 1), self.longest)
        return int(attempts[self.latest] + delay * 1000 - clock.now())

    def within(self, read: int) -> Condition:
        """Condition: at most `free` attempts, or none since `read`."""
        return absent(self.counter) | at_most(self.counter, self.free) | equals(self.counter, read)

    def holds(self, attempts: Mapping[str, Any], read: int) -> bool:
        """Return True if an item meets `within`."""
        now = attempts.get(self.counter, 0)
        return bool(now <= self.free or now == read)


class GuessThrottle:
    """A caller's attempts today, as read."""

    LIMITS: ClassVar[tuple[Limit, ...]]  # the first is that of failed attempts

    __slots__ = ("attempts", "key")

    def __init__(self, key: Key[Any], attempts: Mapping[str, Any] | None = None) -> None:
        self.key = key
        self.attempts = attempts or {}

    @classmethod
    def accept(cls, key: Key[Any], attempts: Mapping[str, Any] | None) -> Self:
        """Accept an attempt if no delay is left. Raises a limit's `throttled`."""
        for limit in cls.LIMITS:
            left = limit.wait(attempts or {})
            if left > 0:
                raise Refused(limit.throttled, seconds=str(-(-left // 1000)))
        return cls(key, attempts)

    def count(self, limit: Limit | None = None) -> Update:
        """Count an attempt, under the condition `within`."""
        # Attempts are counted before their result is known. So parallel requests gain nothing, and a throttled request
        # does not reveal whether its guess was right.
        return _count(self.key, limit or self.LIMITS[0])._replace(when=self.within())

    def within(self) -> Condition:
        """Condition: concurrent attempts have not used up a limit."""
        limits = [limit.within(self._read(limit)) for limit in self.LIMITS]
        return every(limits).raises(self._exceeded, seconds="1")

    def fail(self) -> dict[str, Any]:
        """Count a failed attempt, and return the item."""
        # An AWS client retry may count it twice.
        return dynamodb.update(_count(self.key, self.LIMITS[0]))

    def _read(self, limit: Limit) -> int:
        return int(self.attempts.get(limit.counter, 0))

    def _exceeded(self, now: Mapping[str, Any]) -> Reason:
        exceeded = (limit for limit in self.LIMITS if not limit.holds(now, self._read(limit)))
        return next(exceeded, self.LIMITS[0]).throttled


def _count(key: Key[Any], limit: Limit) -> Update:
    now = clock.now()
    return key.update(set={limit.latest: now, "expires_at": now // 1000 + _DAY}, add={limit.counter: 1})
