"""Clients of AWS services without the AWS SDK, whose overhead would dominate a request."""

import json
import random
import re
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from bindery.aws import credentials, signing
from bindery.aws.connections import Connections
from bindery.aws.errors import THROTTLED, TRANSIENT, ConnectionFailed, ServiceError
from bindery.aws.responses import Response
from bindery.core import env

# Three attempts of usually at most four seconds each (TCP, TLS, response) fit into a function's time-out
# (template.yaml). The first can take longer: it may fetch credentials, or connect twice (connections.py).
ATTEMPTS = 3

_PAUSE = 0.1  # seconds before the first retry at most; doubled for each further one

# The retry quota of botocore's standard mode, which all calls of a client share.
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
_QUOTA, _RETRY_COST, _THROTTLED_COST, _SUCCESS = 500, 14, 5, 1


class Service(NamedTuple):
    """An AWS service that uses the JSON protocol."""

    name: str
    target: str
    content_type: str
    setting: str  # the environment variable with its endpoint


SERVICES = MappingProxyType(
    {
        "dynamodb": Service("dynamodb", "DynamoDB_20120810", "application/x-amz-json-1.0", "AWS_ENDPOINT_URL_DYNAMODB"),
        "secretsmanager": Service(
            "secretsmanager", "secretsmanager", "application/x-amz-json-1.1", "AWS_ENDPOINT_URL_SECRETS_MANAGER"
        ),
        "events": Service("events", "AWSEvents", "application/x-amz-json-1.1", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
    }
)

_LAMBDA = Service("lambda", "", "application/json", "AWS_ENDPOINT_URL_LAMBDA")
_INVOCATION_TIMEOUT = 25.0  # seconds, less than the 29 of the function that waits (template.yaml)

# Only paths that signatures contain as they are.
_URL = re.compile(r"https?://[^/?#@\s]+(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+)*/?")

# The domain of each partition's endpoints, by the prefix of its regions. The first match applies.
_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("", "amazonaws.com"),
)


class Client:
    """Calls to one service. Threads can share it."""

    def __init__(self, service: str) -> None:
        self.service = SERVICES[service]
        self.region = _region()
        self.endpoint = _endpoint(self.service, self.region)
        self._connections = Connections(self.endpoint)
        self._quota = _Quota()

    def connect(self) -> None:
        """Open a connection for the first call. Raises `ConnectionFailed`."""
        self._connections.open()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._connections.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Return an operation's output. Raises `ServiceError` or `ConnectionFailed` after the retries."""
        if operation == "TransactWriteItems":
            request.setdefault("ClientRequestToken", str(uuid.uuid4()))
        body = json.dumps(request, separators=(",", ":"), default=_base64).encode()
        spent = 0
        for attempt in range(ATTEMPTS):
            try:
                answer = self._attempt(operation, body)
            except ConnectionFailed as error:
                cost, pause = _RETRY_COST, not error.stale
                if attempt + 1 == ATTEMPTS or not self._quota.take(cost):
                    raise
            except ServiceError as error:
                cost, pause = _THROTTLED_COST if error.code in THROTTLED else _RETRY_COST, True
                if not _passing(error) or attempt + 1 == ATTEMPTS or not self._quota.take(cost):
                    raise
            else:
                self._quota.give(spent or _SUCCESS)
                return answer
            spent = cost
            if pause:
                _pause(attempt)
        raise AssertionError("unreachable")

    def send(self, operation: str, body: bytes) -> Response:
        """Make one attempt at a call."""
        head = signing.head(
            credentials=credentials.find(),
            region=self.region,
            service=self.service.name,
            host=self._connections.host,
            path=self._connections.path,
            content_type=self.service.content_type,
            target=f"{self.service.target}.{operation}",
            body=body,
        )
        return self._connections.exchange(head + body)

    def _attempt(self, operation: str, body: bytes) -> dict[str, Any]:
        response = self.send(operation, body)
        members = _members(response.body)
        if response.status >= 300:
            raise _error(response, members or {})
        if members is None:
            raise ConnectionFailed("the response is not a JSON object")
        members["ResponseMetadata"] = {"HTTPHeaders": response.headers}
        return members


class Functions:
    """Invocations of Lambda functions. Threads can share it."""

    def __init__(self) -> None:
        self.region = _region()
        self._connections = Connections(_endpoint(_LAMBDA, self.region), _INVOCATION_TIMEOUT)

    def connect(self) -> None:
        """Open a connection for the first call. Raises `ConnectionFailed`."""
        self._connections.open()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._connections.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Make one attempt at `Invoke`, the only operation. Raises `ServiceError` or `ConnectionFailed`."""
        name, alias, event = request["FunctionName"], request["Qualifier"], request["Payload"]
        kind = request.get("InvocationType", "")
        try:
            response = self._attempt(name, alias, event, kind)
        except ConnectionFailed as error:
            # The function may have run although its response was lost, unless the connection was already closed.
            if not error.stale:
                raise
            response = self._attempt(name, alias, event, kind)
        if response.status >= 300:
            raise _error(response, _members(response.body) or {})
        return {"Payload": BytesIO(response.body), "FunctionError": response.headers.get("x-amz-function-error")}

    def _attempt(self, name: str, alias: str, event: bytes, kind: str) -> Response:
        path = f"{self._connections.path.rstrip('/')}/2015-03-31/functions/{name}/invocations"
        head = signing.head(
            credentials=credentials.find(),
            region=self.region,
            service=_LAMBDA.name,
            host=self._connections.host,
            path=path,
            query=f"Qualifier={alias}",
            content_type=_LAMBDA.content_type,
            body=event,
            invocation=kind,
        )
        return self._connections.exchange(head + event)


class Links:
    """The management API of the WebSocket API. Threads can share it."""

    def __init__(self) -> None:
        self.region = _region()
        self._connections = Connections(env.read("LINK_ENDPOINT"))

    def connect(self) -> None:
        """Open a connection for the first call. Raises `ConnectionFailed`."""
        self._connections.open()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._connections.close()

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Call `PostToConnection` or `DeleteConnection`. Raises `ServiceError` or `ConnectionFailed`.

        A message may be sent twice.
        """
        method, body = ("POST", request["Data"]) if operation == "PostToConnection" else ("DELETE", b"")
        for attempt in range(ATTEMPTS):
            try:
                response = self._attempt(method, request["ConnectionId"], body)
            except ConnectionFailed as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                pause = not error.stale
            else:
                if response.status < 300:
                    return {}
                failed = _error(response, _members(response.body) or {})
                if not _passing(failed) or attempt + 1 == ATTEMPTS:
                    raise failed
                pause = True
            if pause:
                _pause(attempt)
        raise AssertionError("unreachable")

    def _attempt(self, method: str, connection: str, body: bytes) -> Response:
        path = f"{self._connections.path}/@connections/{quote(connection, safe='')}"
        head = signing.head(
            credentials=credentials.find(),
            region=self.region,
            service="execute-api",
            host=self._connections.host,
            path=path,
            canonical_path=quote(path),
            content_type="application/json",
            body=body,
            method=method,
        )
        return self._connections.exchange(head + body)


def _pause(attempt: int) -> None:
    # Full jitter. SystemRandom: the copies of a snapshot would share a seeded generator.
    time.sleep(random.SystemRandom().uniform(0, _PAUSE * 2**attempt))


class _Quota:
    def __init__(self) -> None:
        self._left = _QUOTA
        self._lock = threading.Lock()

    def take(self, cost: int) -> bool:
        with self._lock:
            if cost > self._left:
                return False
            self._left -= cost
            return True

    def give(self, cost: int) -> None:
        with self._lock:
            self._left = min(_QUOTA, self._left + cost)


def _passing(error: ServiceError) -> bool:
    return error.code in THROTTLED | TRANSIENT or error.status in _TRANSIENT_STATUSES


def _base64(value: object) -> str:
    """Encode a binary value for JSON."""
    if not isinstance(value, bytes):
        raise TypeError(type(value).__name__)
    return b64encode(value).decode()


def _members(body: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _error(response: Response, members: Mapping[str, Any]) -> ServiceError:
    kind = str(members.get("__type") or response.headers.get("x-amzn-errortype") or response.status)
    # `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException`, or `Name:http://…` in the header.
    return ServiceError(kind.rpartition("#")[2].partition(":")[0], response.status, members)


def _region() -> str:
    region = env.find("AWS_REGION") or env.find("AWS_DEFAULT_REGION")
    if not region:
        raise RuntimeError("no AWS region: neither AWS_REGION nor AWS_DEFAULT_REGION is set")
    return region


def _endpoint(service: Service, region: str) -> str:
    for setting in (service.setting, "AWS_ENDPOINT_URL"):
        if url := env.find(setting):
            if _URL.fullmatch(url) is None:
                raise RuntimeError(
                    f"{setting} is not the URL of an endpoint: http(s)://host[:port][/path], without user name or query"
                )
            return url
    for setting in ("AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"):
        if (env.find(setting) or "").lower() == "true":
            raise RuntimeError(f"{setting} needs AwsClient=botocore, or set the endpoint with {service.setting}")
    domain = next(domain for prefix, domain in _DOMAINS if region.startswith(prefix))
    return f"https://{service.name}.{region}.{domain}"
