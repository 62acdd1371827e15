"""$disconnect: the end of a connection (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.link import connections


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Record that a device is offline."""
    return connections.end(event)
