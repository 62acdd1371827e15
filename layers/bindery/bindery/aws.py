"""How AWS is called: time-outs, retries, and which failures mean that a service is out of reach rather than our bug."""

from collections.abc import Callable
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as EndpointError

from bindery.faults import Fault, Reason

CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 3})
"""Three tries of at most three seconds each stay within a function's time-out (template.yaml)."""

_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "InternalServiceError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


def call(unavailable: Reason, method: Callable[..., Any], **request: Any) -> Any:
    """The answer of a client's method. Raises `Fault(unavailable)` where the SDK's own retries did not reach it.

    Any other `ClientError` passes through: the caller knows it, or it is a bug of ours.
    """
    try:
        return method(**request)
    except ClientError as error:
        # A 5xx without a body has its status for a code.
        if error.response["Error"]["Code"] in _TRANSIENT or _status(error) >= 500:
            raise Fault(unavailable) from error
        raise
    except (EndpointError, HTTPClientError) as error:
        raise Fault(unavailable) from error


def code(error: BaseException) -> str:
    """What went wrong in a word: the service's own code, else the kind of the error. Never a message: it may tell."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
