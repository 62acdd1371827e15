"""$connect: authorizer of connections (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.link import connections


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Let a device connect with its credential, and close its earlier connection."""
    return connections.authorize(event)
