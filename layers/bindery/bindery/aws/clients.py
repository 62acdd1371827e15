"""Clients of AWS services: the direct one, or the SDK if the setting `AWS_CLIENT` says so."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from bindery.aws import snapshots
from bindery.aws.errors import THROTTLED, TRANSIENT, ConnectionFailed, ServiceError
from bindery.core import env
from bindery.core.errors import HotKey, Reason, Refused

Service = Literal["dynamodb", "secretsmanager", "lambda", "apigatewaymanagementapi", "events"]

# Errors that pass, in addition to those that a client retries.
_PASSING = frozenset({"InternalServerError", "InternalServiceError", "ServiceUnavailable"}) | THROTTLED | TRANSIENT


class Client(Protocol):
    """Calls to one service. Threads can share it."""

    def connect(self) -> None:
        """Prepare the first call, if the client can."""

    def close(self) -> None:
        """Close the connections that are not in use."""

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Return an operation's output. Raises `ServiceError` or `ConnectionFailed` after the retries."""


def client(service: Service) -> Client:
    """Create a client for all requests of the process."""
    created = create(service)
    snapshots.after_restore(created.close)
    return created


def create(service: Service) -> Client:
    """Create a client. The caller closes it."""
    if env.read("AWS_CLIENT") == "botocore":
        from bindery.aws import sdk

        return sdk.Client(service)
    from bindery.aws import direct

    match service:
        case "lambda":
            return direct.Functions()
        case "apigatewaymanagementapi":
            return direct.Links()
    return direct.Client(service)


def call(client: Client, unavailable: Reason, operation: str, **request: Any) -> dict[str, Any]:
    """Call an operation. Raises `unavailable` after the client's retries, or `HotKey` for a throttled key range."""
    try:
        return client.call(operation, **request)
    except ServiceError as error:
        if (throttled := _key_range(error.members)) is not None:
            raise HotKey(unavailable, throttled) from error
        if error.code in _PASSING or error.status >= 500:
            raise Refused(unavailable) from error
        raise
    except ConnectionFailed as error:
        raise Refused(unavailable) from error


def code(error: BaseException) -> str:
    """Return the service's error code, the reason of a failed connection, or the exception's class name."""
    # Not the message of another exception, which may contain private data.
    return str(error) if isinstance(error, ServiceError | ConnectionFailed) else type(error).__name__


def _key_range(members: Mapping[str, Any]) -> str | None:
    # DynamoDB capitalises this member in every exception but ThrottlingException.
    throttled = members.get("ThrottlingReasons") or members.get("throttlingReasons") or []
    reasons: list[str] = [found["reason"] for found in throttled]
    # The others are those of a table, an index or the account.
    return reasons[0] if reasons and all("KeyRange" in reason for reason in reasons) else None
