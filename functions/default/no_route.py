"""$default: requests that no other route matches."""

from collections.abc import Mapping
from typing import Any

from bindery.http import fallback


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Accept paths with extra slashes. Otherwise return 404 or 405 in the error format of the path's API."""
    return fallback.handle(event, "default.no_route")
