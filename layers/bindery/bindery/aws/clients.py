"""How AWS is called: clients, time-outs, retries, and which failures mean that a service is out of reach, not our bug.

Clients are made by botocore, boto3's own core: boto3 itself adds nothing to a client and imports S3's transfer manager,
which nothing here uses (docs/performance.md says what that buys, and what the loader below does).
"""

from collections.abc import Callable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

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

_SERVICES = frozenset({"", "*", "dynamodb", "secrets-manager"})
"""What stands second in the name of an event (`before-call.dynamodb.GetItem`) that a client of ours emits."""

_PLACES = {(): "register", (REGISTER_FIRST,): "register_first", (REGISTER_LAST,): "register_last"}


class _Models(Loader):
    """botocore's loader, which knows which services are called, where it would look through the folders of all 400."""

    def list_available_services(self, type_name: str) -> list[str]:
        """The services that are called."""
        return ["dynamodb", "secretsmanager"]


class _Credentials(Credentials):
    """What botocore's own chain finds, looked for by the first request and not by making a client.

    In a function that starts from a snapshot (SnapStart) the chain asks over HTTP. All copies of the snapshot would
    have that connection, and credentials of the day on which it was made.
    """

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
    """The session that all clients share, and with it what they read to be made.

    `AWS_DATA_PATH` (template.yaml) leads to the trimmed descriptions that a layer brings (layers/deps/trim.py). What is
    not in that folder is read where botocore has it, so nothing breaks without it or under a newer botocore. Of
    botocore's own handlers those of other services are left out: it looks at the signature of each that it registers.
    """
    session = _Session(include_builtin_handlers=False)
    events = session.get_component("event_emitter")
    for event, handler, *place in BUILTIN_HANDLERS:
        kind, service = (*event.split("."), "")[:2]
        if kind != "docs" and service in _SERVICES:
            getattr(events, _PLACES.get(tuple(place), "register"))(event, handler)
    path: str | None = session.get_config_variable("data_path")
    session.register_component("data_loader", _Models(path.split(":") if path else None))
    return session


@overload
def client(service: Literal["dynamodb"]) -> "DynamoDBClient": ...
@overload
def client(service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
def client(service: str) -> Any:
    """A new client of a service. It opens no connection before its first call."""
    return _session().create_client(service, config=CONFIG)


def call(unavailable: Reason, method: Callable[..., Any], **request: Any) -> Any:
    """The answer of a client's method. Raises `Refused(unavailable)` where the SDK's own retries did not reach it.

    If DynamoDB throttled only a key range, that is a `HotKey`. Any other `ClientError` passes through: the caller's, or
    an internal error.
    """
    try:
        return method(**request)
    except ClientError as error:
        if (throttled := _key_range(error)) is not None:
            raise HotKey(unavailable, throttled) from error
        # A 5xx without a body has its status for a code.
        if error.response["Error"]["Code"] in _TRANSIENT or _status(error) >= 500:
            raise Refused(unavailable) from error
        raise
    except (EndpointError, HTTPClientError) as error:
        raise Refused(unavailable) from error


def code(error: BaseException) -> str:
    """What went wrong in a word: the service's own code, else the kind of the error. Never a message: it may tell."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _key_range(error: ClientError) -> str | None:
    """Return DynamoDB's reason for throttling if it throttled only key ranges, not a table, an index or the account."""
    answer: Any = error.response
    # DynamoDB spells the member as the exception's model does: capitalised in all but ThrottlingException.
    reasons = [found["reason"] for found in answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or []]
    return reasons[0] if reasons and all("KeyRange" in reason for reason in reasons) else None


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
