"""Errors of calls to AWS, whichever client makes them."""

from collections.abc import Mapping
from typing import Any

# The error codes that botocore's standard mode retries.
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"})


class ServiceError(Exception):
    """An error response: its code, HTTP status and members."""

    def __init__(self, code: str, status: int, members: Mapping[str, Any]) -> None:
        # Not the message, which may contain private data.
        super().__init__(code)
        self.code = code
        self.status = status
        self.members = members


class ConnectionFailed(Exception):
    """No response: the service could not be reached, did not respond in time, or did not respond in HTTP."""

    def __init__(self, what: str, *, timed_out: bool = False, stale: bool = False) -> None:
        super().__init__(what)
        self.timed_out = timed_out
        # An idle connection that the service had already closed.
        self.stale = stale
