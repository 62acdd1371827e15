"""All events, in the order in which they were recorded.

The index of a day's events has several parts, which are merged. An index may lag, and clocks differ, so events of the
last seconds may appear later, before others. A reader who has reached the end therefore starts again before them.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.registry import items

OVERLAP = 10_000
"""Milliseconds after which an event that was recorded appears in the log, at the latest."""

DAYS = 10
"""Maximum number of days without events that a request examines."""

_DAY = 86_400_000
_PLACE = re.compile(r"([0-9]{13}[0-9a-z#]{0,64})\.([0-9]{13})")


class Part(NamedTuple):
    """A part of the log, and where the next begins. `more`: there may be more events now."""

    events: list[items.Event]
    cursor: str
    more: bool


class _Place(NamedTuple):
    """The lowest `time` of the next event. All events recorded before `settled` were returned."""

    time: str
    settled: int

    @property
    def moment(self) -> int:
        """Time in milliseconds."""
        return int(self.time[:13])

    def at(self, time: str, now: int) -> "_Place":
        """Return a later place."""
        later = _Place(time, self.settled)
        # While a reader is past a time before which events may still appear, it stays where it was.
        settled = self.settled if self.settled < self.moment else min(later.moment, now - OVERLAP)
        return later._replace(settled=max(self.settled, settled))

    def restarted(self, now: int) -> "_Place":
        """Return the place at which a reader at the end of the log continues."""
        moment = self.at(_time(now), now).settled
        return _Place(_time(moment), moment)


def read(limit: int, after: str | None, since: int | None) -> Part:
    """Return up to about `limit` events from a cursor or a time on. Raises `INVALID`.

    A reader that repeats this with the cursor misses no event, but gets those of the last seconds more than once.
    """
    now = clock.now()
    place = _place(after, since, now)
    for _ in range(DAYS):
        day = _day(place.moment)
        events, rest = _merged(day, place.time, limit)
        if rest is None and day >= _day(now):
            return _part(events, place.restarted(now), more=False)
        place = place.at(rest or _time(_midnight(day + timedelta(days=1))), now)
        if events:
            break
    return _part(events, place, more=True)


def _part(events: list[items.Event], place: _Place, *, more: bool) -> Part:
    seconds = clock.seconds()
    kept = [event for event in events if event["expires_at"] > seconds]
    return Part(kept, f"{place.time}.{place.settled:013}", more)


def _place(after: str | None, since: int | None, now: int) -> _Place:
    oldest = now - int(env.read("HISTORY_DAYS")) * _DAY
    if after is None:
        moment = min(max(since or 0, oldest), now)
        return _Place(_time(moment), moment)
    found = _PLACE.fullmatch(after)
    if found is None or int(found[1][:13]) > now + _DAY:
        raise Refused(Reason.INVALID, detail="`after` is not a cursor of this list.", at="query.after")
    return max(_Place(found[1], int(found[2])), _Place(_time(oldest), oldest))


def _merged(day: date, start: str, limit: int) -> tuple[list[items.Event], str | None]:
    """Return a day's events in order of their times, and where the rest begins, or None."""
    most = max(1, limit // items.LOG_SHARDS)
    pages = [dynamodb.page(items.log(day.isoformat(), shard, start), most) for shard in range(items.LOG_SHARDS)]
    # Of a part with more events, those after its last are unknown.
    reached = min((page.items[-1]["time"] for page in pages if page.cursor is not None), default=None)
    events = sorted((event for page in pages for event in page.items), key=lambda event: event["time"])
    if reached is None:
        return events, None
    # The ids at the end of times have the same length, so this is less than every later time.
    return [event for event in events if event["time"] <= reached], f"{reached}#"


def _day(moment: int) -> date:
    return datetime.fromtimestamp(moment // 1000, UTC).date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _time(moment: int) -> str:
    return f"{moment:013}"
