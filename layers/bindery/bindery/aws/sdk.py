"""The AWS SDK as a client: botocore, with only what its two services need."""

import zlib
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

# botocore, because boto3 would only add import time (docs/performance.md).
from botocore import xform_name
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.exceptions import ConnectionError as EndpointError
from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST, REGISTER_LAST
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from bindery.aws.errors import ConnectionFailed, ServiceError
from bindery.core import env

# Three attempts of at most three seconds each fit into a function's time-out (template.yaml).
CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})

# An invocation is not repeated: a function may have run although its response was lost.
INVOCATIONS = Config(connect_timeout=1, read_timeout=25, retries={"total_max_attempts": 1})

# Second part of the names of the events that these clients emit, such as `before-call.dynamodb.GetItem`.
_SERVICES = frozenset({"", "*", "dynamodb", "eventbridge", "secrets-manager"})

_PLACES = {(): "register", (REGISTER_FIRST,): "register_first", (REGISTER_LAST,): "register_last"}


class _Models(Loader):
    def list_available_services(self, type_name: str) -> list[str]:
        # botocore's own loader searches the folders of all 400 services.
        return ["dynamodb", "secretsmanager", "lambda", "apigatewaymanagementapi", "events"]


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


class Client:
    """Calls to one service. Threads can share it."""

    def __init__(self, service: str) -> None:
        config = INVOCATIONS if service == "lambda" else CONFIG
        endpoint = env.read("LINK_ENDPOINT") if service == "apigatewaymanagementapi" else None
        self.client: Any = _session().create_client(service, config=config, endpoint_url=endpoint)
        self.client.meta.events.register("after-call.dynamodb", _refuse_damaged)

    def connect(self) -> None:
        """Do nothing: botocore connects when it is called."""

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Return an operation's output. Raises `ServiceError` or `ConnectionFailed` after the retries."""
        try:
            answer: dict[str, Any] = getattr(self.client, xform_name(operation))(**request)
        except ClientError as error:
            members: Any = error.response
            # The error code of a 5xx response without a body is its status.
            status = members.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            # Not chained: the message may contain private data, and tracebacks are logged.
            raise ServiceError(members["Error"]["Code"], status, members) from None
        except (EndpointError, HTTPClientError, CredentialRetrievalError, ResponseParserError) as error:
            timed_out = isinstance(error, ConnectTimeoutError | ReadTimeoutError)
            raise ConnectionFailed(type(error).__name__, timed_out=timed_out) from None
        return answer


def _refuse_damaged(http_response: Any, **_: Any) -> None:
    # botocore repeats the call, but after its last attempt returns what it could read, often no item.
    checksum = http_response.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(zlib.crc32(http_response.content)):
        raise ConnectionFailed("the response was damaged")
