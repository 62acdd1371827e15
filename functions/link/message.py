"""$default: messages from devices (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.link import messages


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer a device's message."""
    return messages.receive(event)
