"""What the one line of each request tells CloudWatch: metrics, in its embedded metric format.

`Refused` of every request, by dialect and by operation: 1, and 0 for what succeeded, so that its average is the part
that is refused and its number of samples that of requests; what is refused also by reason. `Latency` of what succeeded,
for refusals are quick, and would hide it. All dimensions are words of this code, so no metric can name anybody.
"""

from functools import cache
from typing import Any

from bindery.core import clock, env
from bindery.core.errors import Reason


def members(operation: str, seconds: float, reason: Reason | None) -> dict[str, Any]:
    """Of the line of a request to `operation` (`rufus.bind_device`) that took so long, and was refused for `reason`.

    `_aws` says which of the others are metrics and dimensions; its `Timestamp` is in milliseconds (CloudWatch's
    "Specification: Embedded metric format").
    """
    return {
        "dialect": operation.partition(".")[0],
        "operation": operation,
        "reason": reason,
        "Latency": round(seconds * 1000, 1),
        "Refused": int(reason is not None),
        "_aws": {"Timestamp": clock.now(), "CloudWatchMetrics": _directives(reason is not None)},
    }


@cache
def _directives(refused: bool) -> list[dict[str, Any]]:
    dimensions = [["dialect"], ["dialect", "operation"]]
    metrics = [{"Name": "Refused", "Unit": "Count"}]
    if refused:
        dimensions.append(["dialect", "operation", "reason"])
    else:
        metrics.append({"Name": "Latency", "Unit": "Milliseconds"})
    return [{"Namespace": env.read("METRICS_NAMESPACE"), "Dimensions": dimensions, "Metrics": metrics}]
