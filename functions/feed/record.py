"""Changes of the tables become events (Bindery's own)."""

from collections.abc import Mapping
from typing import Any

from bindery.feed import recording


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Record and publish the events of a batch of a table's stream."""
    return recording.record(event["Records"])
