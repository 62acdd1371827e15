"""Version of the format of all stored items, recorded in the directory so that no release misreads another's tables."""

from bindery.aws import dynamodb
from bindery.registry import items

CURRENT = 3
"""Increased by a release that cannot use the items of the one before. Tables of 0.1.0 have no version."""


def record() -> int:
    """Return the version of the tables, after recording the current one in tables that have none."""
    found = dynamodb.get(items.STORAGE_FORMAT)
    if found is None:
        dynamodb.write(items.STORAGE_FORMAT.put({"version": CURRENT}))
        return CURRENT
    return found["version"]
