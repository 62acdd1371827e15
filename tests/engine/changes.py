"""Make changes in a local registry, and read them as its feed does."""

import signal
from typing import Any

import boto3
import httpx
import pytest

from tests.conftest import clear_caches
from tools.local.engine import Engine, make_tables

Records = list[dict[str, Any]]


def read(engine: Engine, after: int, wait: float = 0, limit: int = 100) -> tuple[Records, int]:
    """Return the records after a position, and the position of the last."""
    answer = httpx.post(
        engine.endpoint,
        headers={"x-amz-target": "BinderyFeed.Read"},
        json={"after": after, "limit": limit, "wait": wait},
        timeout=30,
    ).json()
    return answer["records"], answer["position"]


def last(engine: Engine) -> int:
    """Consume all records, and return the position of the last."""
    position = 0
    while (found := read(engine, position))[1] != position:
        position = found[1]
    return position


def item(number: int, **more: str | int) -> dict[str, Any]:
    attributes = {"pk": f"rufus#acme#{number}", "sk": "owner"} | more
    return {name: {"N" if isinstance(value, int) else "S": str(value)} for name, value in attributes.items()}


def put(number: int, table: str = "BindingsTable", **more: str | int) -> None:
    boto3.client("dynamodb").put_item(TableName=table, Item=item(number, **more))


def use(engine: Engine, environment: pytest.MonkeyPatch) -> None:
    """Direct calls to the engine's tables."""
    for name, value in engine.environment().items():
        environment.setenv(name, value)
    make_tables()
    clear_caches()


def kill(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
