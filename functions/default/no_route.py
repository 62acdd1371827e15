"""$default: whatever no other route takes."""

from collections.abc import Mapping
from typing import Any

from bindery.http import fallback


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Refuse in the voice of the path's prefix: no such path, or a path of ours under a method that it has not."""
    return fallback.refuse(event, "default.no_route")
