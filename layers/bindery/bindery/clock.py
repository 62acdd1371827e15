"""The one clock: every time that Bindery stores, compares or shows is read here."""

import time


def now() -> int:
    """The current time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def seconds() -> int:
    """The current time in whole seconds since the Unix epoch (leases, tokens, DynamoDB TTL)."""
    return now() // 1000
