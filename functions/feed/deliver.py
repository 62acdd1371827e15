"""Events are delivered to webhooks (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.feed import delivery


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Deliver a chain's events to a webhook, or if none is given, all that is due."""
    return delivery.deliver(event)
