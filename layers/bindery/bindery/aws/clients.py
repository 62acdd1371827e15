"""AWS clients: time-outs, retries and errors."""

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

# botocore, because boto3 would only add import time (docs/performance.md).
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as EndpointError
from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST, REGISTER_LAST
from botocore.loaders import Loader
from botocore.session import Session

from bindery.core.errors import HotKey, Reason, Refused

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Three attempts of at most three seconds each fit into a function's time-out (template.yaml).
CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 3})

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

# Second part of the names of the events that these clients emit, such as `before-call.dynamodb.GetItem`.
_SERVICES = frozenset({"", "*", "dynamodb", "secrets-manager"})

_PLACES = {(): "register", (REGISTER_FIRST,): "register_first", (REGISTER_LAST,): "register_last"}


class _Models(Loader):
    def list_available_services(self, type_name: str) -> list[str]:
        # botocore's own loader searches the folders of all 400 services.
        return ["dynamodb", "secretsmanager"]


class _Credentials(Credentials):
    # The first request runs botocore's chain of providers. With SnapStart the chain uses HTTP: if it ran before the
    # snapshot, all copies would share its connection and the credentials of that day.

    def __init__(self, find: Callable[[], Credentials | None]) -> None:
        self.method = "deferred"
        self._find = find

    @cached_property
    def _found(self) -> Credentials:
        found = self._find()
        if found is None:
            raise NoCredentialsError
        return found

    @cached_property
    def account_id(self) -> str | None:
        return getattr(self._found, "account_id", None)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._found.get_frozen_credentials()


class _Session(Session):
    def get_credentials(self) -> Credentials:
        return _Credentials(super().get_credentials)


@cache
def _session() -> Session:
    session = _Session(include_builtin_handlers=False)
    events = session.get_component("event_emitter")
    # Skip botocore's handlers for other services: registering one includes inspecting its signature.
    for event, handler, *place in BUILTIN_HANDLERS:
        kind, service = (*event.split("."), "")[:2]
        if kind != "docs" and service in _SERVICES:
            getattr(events, _PLACES.get(tuple(place), "register"))(event, handler)
    # AWS_DATA_PATH (template.yaml) is the folder of trimmed service models in a layer (layers/deps/trim.py). botocore
    # reads anything missing there from its own folder, so a newer botocore or a missing layer breaks nothing.
    path: str | None = session.get_config_variable("data_path")
    session.register_component("data_loader", _Models(path.split(":") if path else None))
    return session


@overload
def client(service: Literal["dynamodb"]) -> "DynamoDBClient": ...
@overload
def client(service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
def client(service: str) -> Any:
    """Create a client. It opens connections when called."""
    return _session().create_client(service, config=CONFIG)


def call(unavailable: Reason, method: Callable[..., Any], **request: Any) -> Any:
    """Call a client's method. Raises `unavailable`, or `HotKey` for a throttled key range."""
    try:
        return method(**request)
    except ClientError as error:
        if (throttled := _key_range(error)) is not None:
            raise HotKey(unavailable, throttled) from error
        # The error code of a 5xx response without a body is its status.
        if error.response["Error"]["Code"] in _TRANSIENT or _status(error) >= 500:
            raise Refused(unavailable) from error
        raise
    except (EndpointError, HTTPClientError) as error:
        raise Refused(unavailable) from error


def code(error: BaseException) -> str:
    """Return the service's error code or the exception's name."""
    # Not the message, which may contain private data.
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _key_range(error: ClientError) -> str | None:
    answer: Any = error.response
    # DynamoDB capitalises this member in every exception but ThrottlingException.
    reasons = [found["reason"] for found in answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or []]
    # The others are those of a table, an index or the account.
    return reasons[0] if reasons and all("KeyRange" in reason for reason in reasons) else None


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
