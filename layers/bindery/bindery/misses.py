"""Misses: counted for each caller, so that what can be guessed is slow to guess.

Some of a day (UTC) are free. The next one makes the caller wait a second, each further one twice as long, a quarter of
an hour at most. What comes too early is refused unseen, and not counted.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

from bindery import clock, dynamo
from bindery.dynamo import Condition, Item, Key, Update
from bindery.faults import Fault, Reason

LONGEST = 15 * 60
"""Seconds of the longest delay."""

_DAY = 24 * 3600


class Misses:
    """Today's misses of one caller, as many as there were when they were read."""

    FREE: ClassVar[int]
    """How many of a day make nobody wait."""
    SLOWED: ClassVar[Reason]
    """What comes too early is refused for, with the `seconds` to wait."""

    __slots__ = ("failures", "key")

    def __init__(self, key: Key, failures: int = 0) -> None:
        self.key = key
        self.failures = failures

    @classmethod
    def admit(cls, key: Key, record: Item | None) -> Self:
        """Another attempt, if it does not come too early after the last miss. Raises `SLOWED`."""
        if record is None:
            return cls(key)
        failures = record["failures"]
        if failures > cls.FREE:
            delay = min(2 ** (failures - cls.FREE - 1), LONGEST)
            left = record["last_at"] + delay * 1000 - clock.now()
            if left > 0:
                raise Fault(cls.SLOWED, **_wait(-(-left // 1000)))
        return cls(key, failures)

    def slow(self) -> bool:
        """Whether the free ones are used up."""
        return self.failures > self.FREE

    def fail(self) -> Item:
        """Count a miss; the count as it is now. If the SDK repeats it after a lost answer it counts twice, as well."""
        now = clock.now()
        return dynamo.update(
            Update(
                self.key,
                "SET #last_at = :now, #expires_at = :expires_at ADD #failures :one",
                {":now": now, ":expires_at": now // 1000 + _DAY, ":one": 1},
            )
        )

    def no_more(self) -> Condition:
        """That no miss beyond the free ones was written since, so that guesses made at once are no more guesses."""
        return Condition(
            expression="attribute_not_exists(#pk) OR #failures <= :free OR #failures = :failures",
            values={":free": self.FREE, ":failures": self.failures},
            otherwise=self.SLOWED,
            detail=_wait(1),
        )


def _wait(seconds: int) -> Mapping[str, str]:
    return {"seconds": str(seconds)}
