"""The only module that reads the clock."""

import time
from datetime import UTC, date, datetime


def now() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def seconds() -> int:
    """Return the Unix time in seconds."""
    return now() // 1000


def iso(moment: int) -> str:
    """Format milliseconds as `2026-11-21T09:30:00.000Z`."""
    whole = datetime.fromtimestamp(moment // 1000, UTC).replace(microsecond=moment % 1000 * 1000, tzinfo=None)
    return whole.isoformat(timespec="milliseconds") + "Z"


def today() -> date:
    """Return the current day in UTC."""
    return datetime.fromtimestamp(seconds(), UTC).date()
