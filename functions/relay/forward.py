"""$default of the relay: HTTP requests to devices (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.relay import forwarding


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Pass a client's request to a device, and return its response."""
    return forwarding.forward(event)
