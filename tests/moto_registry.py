"""Create the template's tables and secrets in moto, and save and restore their content faster than moto does."""

import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from moto.core.models import botocore_stubber
from moto.dynamodb.models import dynamodb_backends
from moto.secretsmanager.models import secretsmanager_backends

from bindery.aws import direct
from bindery.aws.attribute_values import decode
from bindery.aws.dynamodb import Table
from bindery.aws.responses import Response
from bindery.core import clock, env
from bindery.directory import rates, settings
from bindery.feed import people
from tests import aws_calls, moto_speed
from tools import template

REGION = "eu-central-1"

_ACCOUNT = "123456789012"
"""AWS account of the tables in moto."""

State = dict[str, Any]


@contextmanager
def empty() -> Iterator[None]:
    """Let moto answer every call, with empty tables and new secrets."""
    with _answering():
        tables, secrets = _made()
        dynamodb_backends[_ACCOUNT][REGION].tables = copy.deepcopy(tables)
        secretsmanager_backends[_ACCOUNT][REGION].secrets = copy.deepcopy(secrets)
        yield


@contextmanager
def _answering() -> Iterator[None]:
    # `mock_aws` also prepares other HTTP clients, which takes longer than most tests and is not needed here.
    botocore_stubber.enabled = True
    try:
        yield
    finally:
        botocore_stubber.enabled = False


@cache
def _made() -> tuple[Any, Any]:
    """Return moto's internal state of new tables and secrets."""
    client = boto3.client("dynamodb")
    for logical_id, _ in template.resources("AWS::DynamoDB::Table"):
        client.create_table(TableName=logical_id, **template.table_properties(logical_id))
    secrets = boto3.client("secretsmanager")
    for logical_id, _ in template.resources("AWS::SecretsManager::Secret"):
        secrets.create_secret(Name=logical_id, SecretString=f"{logical_id}-" + "s" * 64)
    made = dynamodb_backends[_ACCOUNT][REGION].tables, secretsmanager_backends[_ACCOUNT][REGION].secrets
    return copy.deepcopy(made)


def _moto() -> dict[str, Any]:
    """Return moto's table objects by logical id."""
    found = dynamodb_backends[_ACCOUNT][REGION].tables
    return {table.name: found[env.read(table.value)] for table in Table}


def tables() -> dict[str, Any]:
    """Return moto's table objects by name."""
    return {table.name: table for table in _moto().values()}


def state() -> State:
    """Return the content of the tables, for `restore`."""
    return {name: moto_speed.copied(table.items) for name, table in _moto().items()}


def restore(items: State) -> None:
    """Replace the content of the tables, and clear the caches of it."""
    for name, table in _moto().items():
        table.items = moto_speed.copied(items[name])
    rates.clear_cache()
    settings.clear_cache()
    people.clear_cache()


@contextmanager
def late_indexes() -> Iterator[None]:
    """Freeze every index at the tables' current content, because DynamoDB's indexes lag behind writes."""
    shown = {name: table.items for name, table in _moto().items()}
    restore(shown)
    written: dict[str, Any] = {}

    def before(service: str, operation: str, request: dict[str, Any]) -> None:
        if "IndexName" in request:
            for name, table in _moto().items():
                written[name], table.items = table.items, shown[name]

    def after(*_: object) -> None:
        for name, table in _moto().items():
            table.items = written.pop(name, table.items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws_calls, "before", [*aws_calls.before, before])
        patch.setattr(aws_calls, "after", [*aws_calls.after, after])
        try:
            yield
        finally:
            # A call that got no response.
            after()


def prepare(name: Hashable, enter: Callable[[], None]) -> None:
    """Run `enter` on empty tables once per process, and restore its result from then on.

    If the tables are not empty or not in moto, or a test has set the clock, run it each time.
    """
    set_by_a_test = clock.now.__module__ != clock.__name__
    if not botocore_stubber.enabled or set_by_a_test or any(table.items for table in _moto().values()):
        enter()
    elif name in _prepared:
        restore(_prepared[name])
    else:
        enter()
        _prepared[name] = state()


_prepared: dict[Hashable, State] = {}


def items_of(table: Table) -> list[dict[str, Any]]:
    """Return the items of a table, a hundred times as fast as a scan."""
    return [decode(item.to_json()["Attributes"]) for item in _moto()[table.name].all_items()]


_sends = direct.Client.send


def _send(client: direct.Client, operation: str, body: bytes) -> Response:
    """Let moto answer a direct client as it answers botocore."""
    if not botocore_stubber.enabled:
        return _sends(client, operation, body)
    service = client.service
    headers = {
        "Content-Type": service.content_type,
        "X-Amz-Target": f"{service.target}.{operation}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=testing/20261129/{REGION}/{service.name}/aws4_request",
    }
    made = AWSPreparedRequest("POST", f"https://{service.name}.{REGION}.amazonaws.com/", headers, body, False)
    status, headers, text = botocore_stubber.process_request(made)
    found = {name.lower(): str(value) for name, value in headers.items()}
    return Response(int(status), found, text.encode() if isinstance(text, str) else text)


def install() -> None:
    """Let moto answer direct clients too, and faster."""
    direct.Client.send = _send
    moto_speed.install()
