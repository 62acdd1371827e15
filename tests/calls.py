"""Record the calls, settings and responses of every invocation.

The tests compare them with the limit on round trips, the IAM policies, the settings and the documented examples.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, wraps
from types import ModuleType
from typing import Any

import boto3

from bindery.core import env
from bindery.security import secrets
from tests import aws_calls
from tools.generate import roles

ROUND_TRIPS = 2
"""Maximum number of DynamoDB calls per operation, without those in `Invocation.rates`."""

MORE_ROUND_TRIPS: dict[str, int] = {
    "link.authorize": 30,
    "link.message": 20,
    "quectel.batch_control_device": 51,
    "quectel.bind_device_sn": 3,
    "quectel.device_info": 3,
    "quectel.email_pwd_login": 4,
    "quectel.phone_pwd_login": 4,
    "quectel.regenerate_auth_key": 3,
    "quectel.unbundling_device_dk": 5,
    "remoteit.connect_device": 3,
    "remoteit.count_devices": 29,
    "remoteit.find_by_name": 29,
    "remoteit.list_all": 29,
    "remoteit.list_metadata": 29,
    "rufus.unbind_device": 3,
    "remoteit.login": 5,
    "remoteit.login_by_authhash": 5,
    "rufus.insert_passings": 10,
    "rufus.list_devices": 41,
}
"""Maximum number of calls of the operations that need more. docs/decisions.md gives the reasons."""

UNPREFIXED = frozenset({"by_credential", "by_serial", "by_label"})
"""Indexes whose partition keys have no prefix: serial numbers, random labels and hashes."""

_PARTITION = re.compile(r"#\w+ = (:\w+)")
_RANDOM = re.compile(r"(?<=-)[0-9a-f]{32}.*")
"""Random part of the keys of the items that the doctor command writes."""

_MEMBER_ACTIONS = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}


@dataclass
class Invocation:
    """Calls of one invocation of an operation."""

    name: str
    dynamodb: list[str] = field(default_factory=list)
    rates: list[str] = field(default_factory=list)
    """Tables whose items got a batch of requests for their token bucket: once in each batch, only if a limit is set."""


granted: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
"""Every (IAM action, resource, leading keys) needed so far, by operation. A resource is a table, `table/index` or a
secret; leading keys are a pattern of partition keys, empty for a secret."""

settings_read: dict[str, set[str]] = defaultdict(set)
"""Every setting read so far, by operation."""

answered: set[tuple[str, str]] = set()
"""Documented error examples returned so far, as (operation, reason): (`rufus.bind_device`, `key_missing`)."""

CACHE = "bindery/calls"
"""Key in pytest's cache of the records of the last parallel run."""

NOTHING: dict[str, Any] = {"granted": {}, "settings_read": {}, "answered": []}

_current: ContextVar[Invocation | None] = ContextVar("_current", default=None)


def noted() -> dict[str, Any]:
    """Return everything recorded so far as JSON values, for another process."""
    return {
        "granted": {name: sorted(map(list, needs)) for name, needs in granted.items()},
        "settings_read": {name: sorted(read) for name, read in settings_read.items()},
        "answered": sorted(map(list, answered)),
    }


def add(noted: dict[str, Any]) -> None:
    """Add the records of another process."""
    for name, needs in noted["granted"].items():
        granted[name].update((action, resource, keys) for action, resource, keys in needs)
    for name, read in noted["settings_read"].items():
        settings_read[name].update(read)
    answered.update((name, reason) for name, reason in noted["answered"])


@contextmanager
def recording(name: str) -> Iterator[Invocation]:
    """Record the calls made in the `with` block as calls of the operation `name`."""
    invocation = Invocation(name)
    token = _current.set(invocation)
    try:
        yield invocation
    finally:
        _current.reset(token)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record nothing in the `with` block: what others do meanwhile."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def managed(method: str) -> None:
    """Record a call of the WebSocket API's management API."""
    if (invocation := _current.get()) is not None:
        granted[invocation.name].add((roles.MANAGE, f"{roles.LINK}/{method}", ""))
        env.read("LINK_ENDPOINT")


def published(event_bus: str) -> None:
    """Record a publication of an event."""
    if (invocation := _current.get()) is not None:
        granted[invocation.name].add(("events:PutEvents", event_bus, ""))


def invoked(operation: str) -> None:
    """Record an invocation that does not wait for a response."""
    if (invocation := _current.get()) is not None:
        granted[invocation.name].add((roles.INVOKE, "".join(map(str.capitalize, operation.split("."))), ""))


def _record(service: str, operation: str, request: dict[str, Any]) -> None:
    invocation = _current.get()
    if invocation is None:
        return
    if service == "dynamodb":
        if request.get("UpdateExpression", "").startswith("ADD #full_at"):
            invocation.rates.append(request["TableName"])
        else:
            invocation.dynamodb.append(operation)
        assert invocation.name.startswith("admin.") or _consistent(operation, request), (invocation.name, request)
    granted[invocation.name].update(_needs(service, operation, request))


def _consistent(operation: str, given: dict[str, Any]) -> bool:
    """True unless a call is an eventually consistent read of a table. Indexes have no consistent reads."""
    if operation == "BatchGetItem":
        return all(keys["ConsistentRead"] for keys in given["RequestItems"].values())
    return operation not in ("GetItem", "Query") or "IndexName" in given or given["ConsistentRead"] is True


def _needs(service: str, operation: str, given: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if service == "secretsmanager":
        yield f"secretsmanager:{operation}", given["SecretId"], ""
    elif operation == "TransactWriteItems":
        for item in given["TransactItems"]:
            ((member, request),) = item.items()
            yield _MEMBER_ACTIONS[member], request["TableName"], _leading(request)
    elif operation == "TransactGetItems":
        for item in given["TransactItems"]:
            yield "dynamodb:GetItem", item["Get"]["TableName"], _leading(item["Get"])
    elif operation == "BatchGetItem":
        for table, keys in given["RequestItems"].items():
            for key in keys["Keys"]:
                yield "dynamodb:BatchGetItem", table, _pattern(key["pk"]["S"])
    elif "IndexName" in given:
        yield f"dynamodb:{operation}", f"{given['TableName']}/{given['IndexName']}", _leading(given)
    else:
        yield f"dynamodb:{operation}", given["TableName"], _leading(given)


def _leading(given: dict[str, Any]) -> str:
    """Return the pattern of the partition key of the table or index that a call uses."""
    if given.keys().isdisjoint({"Key", "Item", "KeyConditionExpression"}):
        # A scan.
        return "*"
    if "KeyConditionExpression" not in given:
        return _pattern((given.get("Key") or given["Item"])["pk"]["S"])
    if given.get("IndexName") in UNPREFIXED:
        return "*"
    value = _PARTITION.match(given["KeyConditionExpression"])[1]
    return _pattern(given["ExpressionAttributeValues"][value]["S"])


def _pattern(key: str) -> str:
    """Return the pattern of a key: its prefix up to and including the first `#`, or the whole key if it has none."""
    prefix, separator, _ = key.partition("#")
    return f"{prefix}#*" if separator else _RANDOM.sub("*", prefix)


def _observe(module: ModuleType, name: str, record: Callable[[str, str], None]) -> None:
    """Record the argument of every call of a cached function, including calls that the cache answers."""
    original = getattr(module, name)

    @wraps(original)
    def observed(argument: str) -> Any:
        if (invocation := _current.get()) is not None:
            record(invocation.name, argument)
        return original(argument)

    observed.cache_clear = original.cache_clear
    setattr(module, name, observed)


def _setting(name: str, setting: str) -> None:
    settings_read[name].add(setting)


def _secret(name: str, setting: str) -> None:
    granted[name].add(("secretsmanager:GetSecretValue", env.read(setting), ""))


def install() -> None:
    """Start recording: calls of clients created from now on, settings read and secrets used."""
    aws_calls.before.append(_record)
    session = boto3.Session()
    # Create the tests' clients once per region and endpoint: creating one takes longer than most tests.
    make = cache(lambda service, *place: session.client(service))
    boto3.client = lambda service: make(service, os.environ["AWS_DEFAULT_REGION"], os.environ.get("AWS_ENDPOINT_URL"))
    _observe(env, "read", _setting)
    _observe(secrets, "secret", _secret)
