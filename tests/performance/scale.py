"""Whether requests cost the same with few devices in the tables as with many: `python -m tests.performance.scale 100`.

The devices are put straight into the local engine, of the quectel demo product, each with a binding; then every story
is played, and what each request costs must be what was recorded.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from bindery import aws, clock, devices, dynamo, identity, settings
from bindery.attributes import encode
from bindery.bindings import record
from bindery.edge import logger
from tests.http_api import Response
from tests.openid import AUDIENCE, Bank
from tests.performance import costs, recorded
from tests.performance.stories import STORIES, World
from tools import demo, serve, template
from tools.engine import Engine

_BATCH = 25
"""What DynamoDB takes in one batch."""


def main() -> None:
    """Load as many devices as the arguments say, each more than the last, and play the stories at each."""
    costs.install()
    logger.handlers[0].stream = open(os.devnull, "w")  # noqa: SIM115
    os.environ["_X_AMZN_TRACE_ID"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    there = 0
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder)) as registry, Bank() as bank:
        for wanted in map(int, sys.argv[1:]):
            serve.prepare(registry, bank.url)
            os.environ["AUDIENCE"] = AUDIENCE
            started = time.monotonic()
            load(range(there, wanted))
            say(f"{wanted} devices, the last {wanted - there} of them loaded in {time.monotonic() - started:.0f} s")
            there = wanted
            played = 0
            for story in STORIES:
                played += compare(story.__name__, play(World(bank), story))
                empty()
            say(f"{played} cases cost what was recorded")


def load(numbers: range) -> None:
    """Put devices, each with a binding, into the tables."""
    client = aws.client("dynamodb")

    def put(requests: list[tuple[str, dict[str, Any]]]) -> None:
        asked: dict[str, Any] = {}
        for table, item in requests:
            asked.setdefault(table, []).append({"PutRequest": {"Item": encode(item)}})
        while asked:
            asked = client.batch_write_item(RequestItems=asked).get("UnprocessedItems", {})

    items = _items(numbers)
    with ThreadPoolExecutor(4) as pool:
        # A few at a time: the pool would take them all in at once.
        while batches := [batch for _ in range(100) if (batch := list(islice(items, _BATCH)))]:
            list(pool.map(put, batches))


def _items(numbers: range) -> Iterator[tuple[str, dict[str, Any]]]:
    now = clock.now()
    for number in numbers:
        serial = f"LOADED-{number:09}"
        device = identity.manufactured_device(demo.PRODUCT_KEY, serial)
        facts = devices.manufacturing(demo.PRODUCT_KEY, serial, f"{number:012}", "FC41D", None)
        yield settings.read("DEVICES_TABLE"), {"pk": device, "created_at": now} | facts
        binding = {"holder": identity.user_holder(f"loaded-{number}"), "since": record.since("quectel", now)}
        yield settings.read("BINDINGS_TABLE"), {"pk": device, "sk": "owner", "bound_at": now, **binding}


def empty() -> None:
    """Take away again what a story left, so that the next finds the demo data as it was: all but what was loaded."""
    client = aws.client("dynamodb")
    for table in dynamo.Table:
        name = settings.read(table.value)
        for page in client.get_paginator("scan").paginate(
            TableName=name,
            FilterExpression="NOT contains(pk, :loaded)",
            ExpressionAttributeValues={":loaded": {"S": "LOADED-"}},
        ):
            for item in page["Items"]:
                client.delete_item(TableName=name, Key={key: item[key] for key in ("pk", "sk") if key in item})


def play(world: World, story: Any) -> dict[str, dict[str, Any]]:
    """What each case of a story costs, but for its line in the log."""
    found: dict[str, dict[str, Any]] = {}
    for case, name, event in story(world):
        with costs.counting() as cost:
            given = template.function(name).load()(dict(event), None)
        world.last = Response(given["statusCode"], given["headers"], given["body"])
        found.setdefault(name, {})[case] = cost.report(None)
    return found


def compare(part: str, found: dict[str, dict[str, Any]]) -> int:
    """How many cases there are, if each costs what was recorded."""
    for name, cases in recorded.read(part).items():
        for case, cost in cases.items():
            expected = {key: value for key, value in cost.items() if key != "bytes logged"}
            if found[name][case] != expected:
                sys.exit(f"{name}, {case}: {found[name][case]}, and recorded is {expected}")
    return sum(map(len, found.values()))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
