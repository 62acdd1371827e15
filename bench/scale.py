"""Check that requests cost the same regardless of the number of devices: `python -m bench.scale 100`.

The devices belong to the quectel demo product, and each is bound to a different user. They are written directly to the
file from which the engine loads its tables, in the engine's own format. Then all stories run, and each request must
cost what was recorded. A million devices need 12 GB of memory.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import boto3
from botocore.config import Config

from bindery.aws import dynamodb
from bindery.aws.attribute_values import encode
from bindery.core import clock, env
from bindery.http.operation import logger
from bindery.registry import bindings, devices, identity
from tests import aws_calls
from tests.conftest import clear_caches
from tests.http_api import Response
from tests.openid import AUDIENCE, Bank
from tests.performance import costs, recorded
from tests.performance.refusals import refusals
from tests.performance.stories import STORIES, World
from tools import template
from tools.local import demo, serve
from tools.local.engine import Engine

SAVED = "registry/snapshot-1/dynamodb.json"
"""Path, in the engine's folder, of the tables that it saved when it stopped (tools/local/registry.py)."""

_written: set[tuple[str, str, str | None]] = set()
"""Table and key of each item written since the tables were loaded."""


def main() -> None:
    """Run the stories for each number of devices in the arguments."""
    aws_calls.install()
    costs.install()
    aws_calls.before.append(_note)
    logger.handlers[0].stream = open(os.devnull, "w")  # noqa: SIM115
    os.environ["_X_AMZN_TRACE_ID"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    for wanted in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder, Bank() as bank:
            compare_all(Path(folder), wanted, bank)


def compare_all(folder: Path, wanted: int, bank: Bank) -> None:
    """Start an engine with the specified number of devices, and run every story."""
    started = time.monotonic()
    with Engine(folder) as engine:
        prepare(engine, bank)
    load(folder / SAVED, wanted)
    with Engine(folder) as engine:
        try:
            prepare(engine, bank)
            warm_up(wanted)
            say(f"{wanted} devices and as many bindings: loaded in {time.monotonic() - started:.0f} s")
            started = time.monotonic()
            played = 0
            for story in (*STORIES, refusals):
                played += compare(story.__name__, play(World(bank), story))
                empty()
            say(f"{wanted} devices: {played} cases cost what was recorded, run in {time.monotonic() - started:.0f} s")
        finally:
            # Terminating it normally would save all tables.
            engine.process.kill()


def prepare(engine: Engine, bank: Bank) -> None:
    """Configure this process to use the engine, its tables and its secrets."""
    clear_caches()
    serve.prepare(engine, bank.url, proxy="http://localhost")
    os.environ["AUDIENCE"] = AUDIENCE


def load(saved: Path, wanted: int) -> None:
    """Write the specified number of devices, each with a binding, to the saved tables."""
    state = json.loads(saved.read_text())
    tables = {content["TableName"]: content for content in state["payload"]["tables"]["data"].values()}
    names = [env.read(table.value) for table in (dynamodb.Table.DEVICES, dynamodb.Table.BINDINGS)]
    for name in names:
        assert tables[name]["items"] == {}, "the tables are not empty"
        tables[name]["items"] = f"items of {name}"
    text = json.dumps(state)
    with saved.open("w") as file:
        for name, items in zip(names, (_devices(wanted), _bindings(wanted)), strict=True):
            before, _, text = text.partition(json.dumps(f"items of {name}"))
            file.write(before)
            _write(items, file)
        file.write(text)


def _write(items: Iterator[dict[str, Any]], file: TextIO) -> None:
    separator = "{"
    for item in items:
        by_sort_key = {item.get("sk", "__no_sort__"): encode(item)}
        file.write(f"{separator}{json.dumps(item['pk'])}:{json.dumps(by_sort_key)}")
        separator = ","
    file.write("}")


def _devices(wanted: int) -> Iterator[dict[str, Any]]:
    now = clock.now()
    for number in range(wanted):
        serial = f"LOADED-{number:09}"
        facts = devices.manufacturing(demo.PRODUCT_KEY, serial, f"{number:012}", "FC41D", None)
        yield {"pk": identity.manufactured_device(demo.PRODUCT_KEY, serial), "created_at": now} | facts


def _bindings(wanted: int) -> Iterator[dict[str, Any]]:
    now = clock.now()
    for number in range(wanted):
        device = identity.manufactured_device(demo.PRODUCT_KEY, f"LOADED-{number:09}")
        binding = {
            "holder": identity.user_holder(f"loaded-{number}"),
            "holder_sort": bindings.holder_sort("quectel", now),
        }
        yield {"pk": device, "sk": "owner", "bound_at": now, **binding}


def warm_up(wanted: int) -> None:
    """Read the last loaded device, and query each index: the engine builds indexes on the first query."""
    client = boto3.client("dynamodb", config=Config(read_timeout=600))
    serial = f"LOADED-{wanted - 1:09}"
    device = identity.manufactured_device(demo.PRODUCT_KEY, serial)
    assert client.get_item(TableName=env.read("DEVICES_TABLE"), Key=encode({"pk": device}))["Item"]
    found = client.query(
        TableName=env.read("BINDINGS_TABLE"),
        IndexName="by_holder",
        KeyConditionExpression="holder = :holder",
        ExpressionAttributeValues=encode({":holder": identity.user_holder(f"loaded-{wanted - 1}")}),
    )
    assert found["Count"] == 1
    found = client.query(
        TableName=env.read("DEVICES_TABLE"),
        IndexName="by_serial",
        KeyConditionExpression="serial = :serial",
        ExpressionAttributeValues=encode({":serial": serial}),
    )
    assert found["Count"] == 1


def _note(service: str, operation: str, request: dict[str, Any]) -> None:
    for table, key in costs.keys(request):
        _written.add((table, key["pk"]["S"], key["sk"]["S"] if "sk" in key else None))


def empty() -> None:
    """Delete the items that a story wrote, so that the next one starts with the loaded devices only."""
    client = boto3.client("dynamodb")
    for table, pk, sk in sorted(_written, key=str):
        client.delete_item(TableName=table, Key=encode({"pk": pk} if sk is None else {"pk": pk, "sk": sk}))
    _written.clear()


def play(world: World, story: Any) -> dict[str, dict[str, Any]]:
    """Run a story, and return the costs of each case, except for its log line."""
    found: dict[str, dict[str, Any]] = {}
    for case, name, event in story(world):
        with costs.counting() as cost:
            given = template.function(name).load()(dict(event), None)
        world.last = Response(given["statusCode"], given["headers"], given["body"])
        found.setdefault(name, {})[case] = cost.report(None)
    return found


def compare(part: str, found: dict[str, dict[str, Any]]) -> int:
    """Exit if a case does not cost what was recorded; otherwise return the number of cases."""
    for name, cases in recorded.read(part).items():
        for case, cost in cases.items():
            expected = {key: value for key, value in cost.items() if key not in ("bytes logged", "reason")}
            if found[name][case] != expected:
                sys.exit(f"{name}, {case}: {found[name][case]}, but {expected} is recorded")
    return sum(map(len, found.values()))


def say(text: str) -> None:
    """Print a line and flush the output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
