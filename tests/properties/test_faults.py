"""Faults: the client's view when one DynamoDB call fails, in each possible way.

For every DynamoDB call of every operation and every kind of fault: the response never reports success for a change that
was not made, or "already done" to the caller whose own request made it. If a table is unavailable, the response tells
the client to retry. After the client has retried, the tables are as a single undisturbed request leaves them.
"""

import time
from itertools import product
from typing import Any

import boto3
import pytest

from bindery.aws import dynamodb
from bindery.aws.attribute_values import encode
from bindery.aws.dynamodb import Table
from bindery.core import env
from bindery.security import secrets
from tests import calls
from tests.http_api import Response, invoke
from tests.openid import Bank
from tests.properties import scale, world
from tests.properties.faults import KINDS, Killed, Wire
from tests.tables import Tables, everything

VOLATILE = {
    *("binding", "bound_at", "holder_sort", "created_at", "added_at", "changed_at", "leases", "connection", "label"),
    *("expires_at", "share", "shares", "last_used", "recorded_at", "active_at", "push_id", "push_expiration_date"),
    *("series", "offered_until", "pseudonym", "key_id", "session", "sessions", "last_seen", "used_at", "credential"),
}
"""Fields with different values in every run: ids and times. A retry opens another session."""

REPEATED = {
    "rufus.unbind_device": 404,
    "quectel.bind_device_sn": 5049,
    "quectel.unbundling_device_dk": 5052,
    "quectel.share_device": 6040,
    "asseco.register_owned_device": 440,
    "asseco.unregister_device": 440,
    "asseco.set_push_handle": 440,
    "asseco.block_device": 440,
    "asseco.unblock_device": 440,
    "remoteit.delete_device": 404,
    "remoteit.logout": 401,
    "remoteit.stop_connection": 401,
}
"""Response to the retry of a request whose first response was lost, where the API has no better code for it."""


@pytest.fixture
def there(engine: object, bank: Bank, environment: pytest.MonkeyPatch) -> world.World:
    """Build the world on an engine with transaction tokens, without waits between attempts."""
    environment.setattr(time, "sleep", lambda seconds: None)
    return world.build(bank)


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_retry_after_any_fault_is_equivalent_to_one_request(
    name: str, there: world.World, environment: pytest.MonkeyPatch
) -> None:
    # A conflict is retried, so the number of calls needed to get through a fault does not matter here.
    environment.setitem(calls.MORE_ROUND_TRIPS, name, dynamodb.ATTEMPTS + 4)
    world.prepare(there, name)
    request, before = there.request(name), everything()
    wire = Wire(dynamodb.client())
    with wire.watched():
        wire.plan(None)
        answered = invoke(name, request)
        sent, after = list(wire.sent), everything()
        assert succeeded(name, answered), answered
        for at, kind, lasting in product(range(len(sent)), KINDS, (False, True)):
            if (scale.FULL or kind.takes_effect) and not (
                lasting and (kind.name.startswith("killed") or not scale.FULL)
            ):
                case = f"{kind.name} at {sent[at]} ({at + 1} of {len(sent)}){', lasting' if lasting else ''}"
                wire.plan(None)
                restore(before)
                wire.plan(at, kind, lasting=lasting)
                try:
                    first = invoke(name, request)
                except Killed:
                    first = None
                wire.plan(None)
                retry(name, request, first, before, after, case)


def retry(name: str, request: dict[str, Any], first: Response | None, before: Tables, after: Tables, case: str) -> None:
    """Check the response to a request in which a call failed, and to its repetition."""
    found = everything()
    if first is not None and succeeded(name, first):
        assert alike(found, after), (case, first)
        return
    if first is not None:
        assert "Retry-After" in first.headers, (case, first)
        assert first.status >= 500 or name.startswith("quectel."), (case, first)
        assert code(name, first) != REPEATED.get(name), (case, first)
    assert alike(found, before) or alike(found, after), (case, first, "half a change is left")
    again = invoke(name, request)
    assert alike(everything(), after), (case, first, again)
    if not succeeded(name, again):
        assert alike(found, after), (case, again)
        assert code(name, again) == REPEATED.get(name), (case, first, again)


def succeeded(name: str, answer: Response) -> bool:
    return code(name, answer) == 200 if name.startswith("quectel.") else answer.status < 300


def code(name: str, answer: Response) -> int:
    return int(answer.json()["code"]) if name.startswith("quectel.") else answer.status


def alike(one: Tables, other: Tables) -> bool:
    return plain(one) == plain(other)


def plain(tables: Any) -> Any:
    """Return the tables without fields that differ from run to run."""
    if isinstance(tables, dict):
        return {name: "*" if name in VOLATILE else plain(value) for name, value in tables.items()}
    return [plain(item) for item in tables] if isinstance(tables, list) else tables


def restore(wanted: Tables) -> None:
    """Restore the tables to an earlier state."""
    client = boto3.client("dynamodb")
    for table in Table:
        found = {(item["pk"], item.get("sk")): item for item in everything()[table.name]}
        asked = {(item["pk"], item.get("sk")): item for item in wanted[table.name]}
        for place, item in found.items():
            if place not in asked:
                key = {name: item[name] for name in ("pk", "sk") if name in item}
                client.delete_item(TableName=env.read(table.value), Key=encode(key))
        for place, item in asked.items():
            if found.get(place) != item:
                client.put_item(TableName=env.read(table.value), Item=encode(item))


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_unavailable_secrets_change_nothing_and_retry_succeeds(
    name: str, there: world.World, environment: pytest.MonkeyPatch
) -> None:
    world.prepare(there, name)
    request, before = there.request(name), everything()
    secrets.clear_cache()
    with environment.context() as broken:
        broken.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
        first = invoke(name, request)
    if not succeeded(name, first):
        assert "Retry-After" in first.headers, first
        assert first.status == 503 or name.startswith("quectel."), first
        assert everything() == before
        secrets.clear_cache()
        again = invoke(name, request)
        assert succeeded(name, again), again
