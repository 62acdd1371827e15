"""Version of the format of all stored items, recorded in the directory so that no release misreads another's tables."""

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put, Table

CURRENT = 2
"""Increased by a release that cannot use the items of the one before. Tables of 0.1.0 have no version."""

KEY = Key(Table.DIRECTORY, "format", "format")


def record() -> int:
    """Return the version of the tables, after recording the current one in tables that have none."""
    found = dynamodb.get(KEY)
    if found is None:
        dynamodb.write(Put(KEY, {"version": CURRENT}))
        return CURRENT
    version: int = found["version"]
    return version
