"""The one clock: every time that Bindery stores, compares or shows is read here."""

import time
from datetime import UTC, date, datetime


def now() -> int:
    """The current time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def seconds() -> int:
    """The current time in whole seconds since the Unix epoch (leases, tokens, DynamoDB TTL)."""
    return now() // 1000


def iso(moment: int) -> str:
    """A time in milliseconds as ISO 8601 writes it, UTC: `2026-11-21T09:30:00.000Z`."""
    whole = datetime.fromtimestamp(moment // 1000, UTC).replace(microsecond=moment % 1000 * 1000, tzinfo=None)
    return whole.isoformat(timespec="milliseconds") + "Z"


def today() -> date:
    """The current day, UTC."""
    return datetime.fromtimestamp(seconds(), UTC).date()
