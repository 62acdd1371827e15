"""What an operation needs and answers: recorded at every invocation, for the round-trip rule, the exact policies and
settings, and the document's examples."""

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
from botocore.handlers import BUILTIN_HANDLERS

from bindery.core import env
from bindery.security import secrets

ROUND_TRIPS = 2
"""How many DynamoDB calls an operation makes at most."""

MORE_ROUND_TRIPS: dict[str, int] = {
    "quectel.bind_device_sn": 3,
    "quectel.email_pwd_login": 4,
    "quectel.unbundling_device_dk": 3,
    "remoteit.connect_device": 3,
    "remoteit.list_all": 14,
    "remoteit.login": 5,
    "rufus.list_devices": 41,
}
"""The operations that may make more, and how many at most: docs/decisions.md says why each does."""

UNPREFIXED = frozenset({"by_serial", "by_proxy"})
"""The indexes whose partition keys have no prefix: serial numbers, and random labels."""

_PARTITION = re.compile(r"#\w+ = (:\w+)")
_RANDOM = re.compile(r"(?<=-)[0-9a-f]{32}.*")
"""The random part of the names of the doctor's own items."""

_MEMBER_ACTIONS = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}


@dataclass
class Invocation:
    """The calls of one run of one operation."""

    name: str
    dynamodb: list[str] = field(default_factory=list)


granted: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
"""By operation: every (IAM action, resource, leading keys) that its calls needed so far. A resource is a table,
`table/index`, or a secret; leading keys are a pattern of partition keys, empty for a secret."""

settings_read: dict[str, set[str]] = defaultdict(set)
"""By operation: every setting that it read so far."""

answered: set[tuple[str, str]] = set()
"""The operations and those of the document's examples of their refusals (`rufus.bind_device`, `key_missing`) that were
answered so far."""

CACHE = "bindery/calls"
"""Where pytest's cache has what the processes of the last parallel run noted."""

NOTHING: dict[str, Any] = {"granted": {}, "settings_read": {}, "answered": []}

_current: ContextVar[Invocation | None] = ContextVar("_current", default=None)


def noted() -> dict[str, Any]:
    """What was recorded so far, as JSON has it: for another process."""
    return {
        "granted": {name: sorted(map(list, needs)) for name, needs in granted.items()},
        "settings_read": {name: sorted(read) for name, read in settings_read.items()},
        "answered": sorted(map(list, answered)),
    }


def add(noted: dict[str, Any]) -> None:
    """Add what another process noted."""
    for name, needs in noted["granted"].items():
        granted[name].update((action, resource, keys) for action, resource, keys in needs)
    for name, read in noted["settings_read"].items():
        settings_read[name].update(read)
    answered.update((name, reason) for name, reason in noted["answered"])


@contextmanager
def recording(name: str) -> Iterator[Invocation]:
    """Record the calls made within, as those of the operation `name`."""
    invocation = Invocation(name)
    token = _current.set(invocation)
    try:
        yield invocation
    finally:
        _current.reset(token)


def _record(model: Any, params: dict[str, Any], **_: Any) -> None:
    invocation = _current.get()
    if invocation is None:
        return
    service = model.service_model.service_name
    if service == "dynamodb":
        invocation.dynamodb.append(model.name)
        assert invocation.name.startswith("admin.") or _consistent(model.name, params), (invocation.name, params)
    granted[invocation.name].update(_needs(service, model.name, params))


def _consistent(operation: str, given: dict[str, Any]) -> bool:
    """Whether a call reads what the last acknowledged write left. An index cannot."""
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
    elif operation == "BatchGetItem":
        for table, keys in given["RequestItems"].items():
            for key in keys["Keys"]:
                yield "dynamodb:BatchGetItem", table, _pattern(key["pk"]["S"])
    elif "IndexName" in given:
        yield f"dynamodb:{operation}", f"{given['TableName']}/{given['IndexName']}", _leading(given)
    else:
        yield f"dynamodb:{operation}", given["TableName"], _leading(given)


def _leading(given: dict[str, Any]) -> str:
    """The leading keys of a call: a table's partition key, or that of the index that is queried."""
    if "KeyConditionExpression" not in given:
        return _pattern((given.get("Key") or given["Item"])["pk"]["S"])
    if given.get("IndexName") in UNPREFIXED:
        return "*"
    value = _PARTITION.match(given["KeyConditionExpression"])[1]
    return _pattern(given["ExpressionAttributeValues"][value]["S"])


def _pattern(key: str) -> str:
    """The pattern of a key: its prefix up to and including the first `#`, or the whole key if it has none."""
    prefix, separator, _ = key.partition("#")
    return f"{prefix}#*" if separator else _RANDOM.sub("*", prefix)


def _provide(params: dict[str, Any], model: Any, **_: Any) -> None:
    _record(model, params)


def _observe(module: ModuleType, name: str, record: Callable[[str, str], None]) -> None:
    """Record what a cached function of one argument is asked for, whether its answer is in the cache or not."""
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
    """Record the calls of every client made, every setting read and every secret used from now on."""
    # What every session made from now on begins with; moto answers calls in the same way.
    BUILTIN_HANDLERS.append(("before-parameter-build", _provide))
    session = boto3.Session()
    # The tests' own clients are made once for each place: to make one takes longer than most tests.
    make = cache(lambda service, *place: session.client(service))
    boto3.client = lambda service: make(service, os.environ["AWS_DEFAULT_REGION"], os.environ.get("AWS_ENDPOINT_URL"))
    _observe(env, "read", _setting)
    _observe(secrets, "secret", _secret)
