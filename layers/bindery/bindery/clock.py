"""The one clock: every time that Bindery stores, compares or shows is read here."""

import time
from datetime import UTC, date, datetime


def now() -> int:
    """The current time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def seconds() -> int:
    """The current time in whole seconds since the Unix epoch (leases, tokens, DynamoDB TTL)."""
    return now() // 1000


def today() -> date:
    """The current day, UTC."""
    return datetime.fromtimestamp(seconds(), UTC).date()
