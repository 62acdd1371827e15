"""Version of the items' format, so that no release misreads another's tables."""

from bindery.aws import dynamodb
from bindery.registry import items

CURRENT = 4
"""Raised by a release that cannot use earlier items. 0.1.0 recorded no version."""


def record() -> int:
    """Return the tables' version. If they have none, record the current one."""
    found = dynamodb.get(items.STORAGE_FORMAT)
    if found is None:
        dynamodb.write(items.STORAGE_FORMAT.put({"version": CURRENT}))
        return CURRENT
    return found["version"]
