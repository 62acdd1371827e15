"""The log line of each request is in CloudWatch's embedded metric format."""

from typing import Any

import pytest

from bindery.core import clock
from bindery.core.errors import Reason
from bindery.http import emf

pytestmark = pytest.mark.usefixtures("environment")

EACH = [["dialect"], ["dialect", "operation"]]
REFUSED = {"Name": "Refused", "Unit": "Count"}


@pytest.mark.parametrize(
    ("reason", "dimensions", "metrics"),
    [
        (None, EACH, [REFUSED, {"Name": "Latency", "Unit": "Milliseconds"}]),
        (Reason.DEVICE_BANNED, [*EACH, ["dialect", "operation", "reason"]], [REFUSED]),
    ],
)
def test_log_line_declares_its_metrics_and_dimensions(
    reason: Reason | None, dimensions: Any, metrics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_795_176_000_123)
    declared = {"Namespace": "Bindery/bindery", "Dimensions": dimensions, "Metrics": metrics}
    assert emf.members("rufus.bind_device", 0.01234, reason) == {
        "dialect": "rufus",
        "operation": "rufus.bind_device",
        "reason": reason,
        "Latency": 12.3,
        "Refused": int(reason is not None),
        "_aws": {"Timestamp": 1_795_176_000_123, "CloudWatchMetrics": [declared]},
    }
