"""Which AWS calls an operation makes: recorded at every invocation, for the round-trip rule and the exact policies."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import boto3

ROUND_TRIPS = 2
"""How many DynamoDB calls an operation makes at most."""

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


granted: dict[str, set[tuple[str, str]]] = defaultdict(set)
"""By operation: every (IAM action, resource) that its calls needed so far. A resource is a table, `table/index`, or a
secret."""

_current: ContextVar[Invocation | None] = ContextVar("_current", default=None)


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
    granted[invocation.name].update(_needs(service, model.name, params))


def _needs(service: str, operation: str, given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if service == "secretsmanager":
        yield f"secretsmanager:{operation}", given["SecretId"]
    elif operation == "TransactWriteItems":
        for item in given["TransactItems"]:
            ((member, request),) = item.items()
            yield _MEMBER_ACTIONS[member], request["TableName"]
    elif operation == "BatchGetItem":
        for table in given["RequestItems"]:
            yield "dynamodb:BatchGetItem", table
    else:
        index = f"/{given['IndexName']}" if "IndexName" in given else ""
        yield f"dynamodb:{operation}", given["TableName"] + index


def _provide(params: dict[str, Any], model: Any, **_: Any) -> None:
    _record(model, params)


def install() -> None:
    """Record the calls of every client made from now on."""
    boto3.setup_default_session()
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-parameter-build", _provide)
