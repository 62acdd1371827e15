"""Throttle for what can be guessed: exponential back-off per caller after failed attempts.

An attempt is counted before its result is known, by a write that fails if concurrent attempts have used up the limit.
So requests that run in parallel cannot try more than requests that follow each other, and one that is refused for that
reason does not reveal whether its guess was right.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused

LONGEST = 15 * 60
"""Seconds of the longest delay, unless a limit has its own."""

_DAY = 24 * 3600


class Limit(NamedTuple):
    """How many a day (UTC) are free. The next one causes a delay of a second, and each further one doubles it."""

    counter: str
    """Attribute that holds the number."""
    latest: str
    """Attribute that holds the time of the last one, in milliseconds."""
    free: int
    throttled: Reason
    """Reason for refusing a request before the delay is over, with the `seconds` to wait."""
    longest: int = LONGEST

    def wait(self, record: Item) -> int:
        """Milliseconds until the next attempt is accepted."""
        beyond = record.get(self.counter, 0) - self.free
        if beyond <= 0:
            return 0
        delay = min(2 ** (beyond - 1), self.longest)
        return int(record[self.latest] + delay * 1000 - clock.now())

    def holds(self, record: Item, read: int) -> bool:
        """True if an attempt that read the number `read` is still within the limit."""
        now = record.get(self.counter, 0)
        return bool(now <= self.free or now == read)


class GuessThrottle:
    """A caller's failed attempts of today, as they were read. `LIMITS[0]` limits them."""

    LIMITS: ClassVar[tuple[Limit, ...]]

    __slots__ = ("key", "record")

    def __init__(self, key: Key, record: Item | None = None) -> None:
        self.key = key
        self.record = record or {}

    @classmethod
    def admit(cls, key: Key, record: Item | None) -> Self:
        """Accept another attempt, unless the delay after the last one is not over. Raises a limit's `throttled`."""
        for limit in cls.LIMITS:
            left = limit.wait(record or {})
            if left > 0:
                raise Refused(limit.throttled, **_wait(-(-left // 1000)))
        return cls(key, record)

    def count(self, limit: Limit | None = None) -> Update:
        """Count an attempt. Its condition fails if concurrent attempts have used up a limit."""
        return _counting(self.key, limit or self.LIMITS[0])._replace(condition=self.within())

    def within(self) -> Condition:
        """Condition: no attempt beyond the free ones has been counted since the record was read."""
        values: dict[str, Any] = {}
        for limit in self.LIMITS:
            values |= {
                f":{limit.counter}_free": limit.free,
                f":{limit.counter}_read": self.record.get(limit.counter, 0),
            }
        return Condition(
            expression=" AND ".join(
                f"(attribute_not_exists(#{limit.counter}) OR #{limit.counter} <= :{limit.counter}_free"
                f" OR #{limit.counter} = :{limit.counter}_read)"
                for limit in self.LIMITS
            ),
            values=values,
            otherwise=self._exceeded,
            detail=_wait(1),
        )

    def _exceeded(self, now: Item) -> Reason:
        exceeded = (limit for limit in self.LIMITS if not limit.holds(now, self.record.get(limit.counter, 0)))
        return next(exceeded, self.LIMITS[0]).throttled

    def fail(self) -> Item:
        """Count a failed attempt whatever the limit, and return the item. An SDK retry may count it twice."""
        return dynamodb.update(_counting(self.key, self.LIMITS[0]))


def _counting(key: Key, limit: Limit) -> Update:
    now = clock.now()
    return Update(
        key,
        f"SET #{limit.latest} = :now, #expires_at = :expires_at ADD #{limit.counter} :one",
        {":now": now, ":expires_at": now // 1000 + _DAY, ":one": 1},
    )


def _wait(seconds: int) -> Mapping[str, str]:
    return {"seconds": str(seconds)}
