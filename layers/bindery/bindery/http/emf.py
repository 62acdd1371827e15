"""CloudWatch metrics in log lines (embedded metric format)."""

from functools import cache
from typing import Any

from bindery.core import clock, env
from bindery.core.errors import Reason


def members(operation: str, seconds: float, reason: Reason | None) -> dict[str, Any]:
    """Return the log members of a request."""
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
    # Dimensions are constants of this code, so no metric can identify a person.
    dimensions = [["dialect"], ["dialect", "operation"]]
    # Its average is the refusal rate, and its sample count the number of requests.
    metrics = [{"Name": "Refused", "Unit": "Count"}]
    # Latency of successes only: refusals are quick and would distort it.
    if refused:
        dimensions.append(["dialect", "operation", "reason"])
    else:
        metrics.append({"Name": "Latency", "Unit": "Milliseconds"})
    return [{"Namespace": env.read("METRICS_NAMESPACE"), "Dimensions": dimensions, "Metrics": metrics}]
