"""What a warm request takes, beside the same DynamoDB calls made bare, and beside it written the usual way.

The stories are played once on the local engine, and of each case that is measured every call and its answer is kept.
Then a stub on loopback gives these answers over one connection, in their order, to whoever makes the calls.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from botocore.handlers import BUILTIN_HANDLERS
from pydantic import BaseModel

from bindery import aws, clock, dynamo
from bindery.edge import logger
from tests.performance.init import Spread
from tests.performance.stories import STORIES, World
from tools import template

CASES = {
    "rufus.bind_device": "bound again",
    "quectel.bind_device_sn": "unique mode",
    "asseco.register_owned_device": "success",
    "remoteit.connect_device": "connected again",
    "vodlix.add_device": "again",
}
"""Of each binding operation the case that is measured."""

_TURN = 10
"""Requests a turn."""


@dataclass
class Kept:
    """A case: its event, and each call with its answer."""

    event: dict[str, Any]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)


_keeping: Kept | None = None


def _before(params: dict[str, Any], model: Any, **_: Any) -> None:
    if _keeping is not None:
        _keeping.calls.append((model.name, params))


def _after(response_dict: dict[str, Any], **_: Any) -> None:
    if _keeping is not None:
        _keeping.answers.append((response_dict["status_code"], dict(response_dict["headers"]), response_dict["body"]))


def install() -> None:
    """Keep the calls and answers of clients that are made from now on, while a case is kept."""
    BUILTIN_HANDLERS.append(("before-parameter-build.dynamodb.*", _before))
    BUILTIN_HANDLERS.append(("response-received.dynamodb.*", _after))


def keep(world: World) -> dict[str, Kept]:
    """Play the stories, and keep what is to be measured."""
    global _keeping
    kept: dict[str, Kept] = {}
    for story in STORIES:
        for case, name, event in story(world):
            measured = CASES.get(name) == case
            _keeping = kept.setdefault(name, Kept(event)) if measured else None
            world.last = _answer(template.function(name).load()(dict(event), None))
            _keeping = None
    return kept


def _answer(given: dict[str, Any]) -> Any:
    from tests.http_api import Response

    return Response(given["statusCode"], given["headers"], given["body"])


@contextmanager
def stub(kept: Kept) -> Iterator[str]:
    """A server that gives a case's answers in turn, each after it was asked; its address."""
    answers = [[status, headers, body.decode()] for status, headers, body in kept.answers]
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("stub.py"), json.dumps(answers)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def measure(name: str, kept: Kept, rounds: int) -> dict[str, dict[str, Spread]]:
    """Milliseconds a request by the clock, and of the processor, of the operation and of its peers, in turn."""
    with stub(kept) as url:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
        dynamo.client.cache_clear()
        handler = template.function(name).load()
        client = aws.client("dynamodb")
        methods = {"GetItem": client.get_item, "BatchGetItem": client.batch_get_item, "UpdateItem": client.update_item}
        methods |= {"TransactWriteItems": client.transact_write_items, "Query": client.query}

        def ours() -> None:
            assert handler(dict(kept.event), None)["statusCode"] < 300

        def bare() -> None:
            for operation, params in kept.calls:
                methods[operation](**params)

        asked: dict[str, Callable[[], None]] = {"bare calls": bare, "operation": ours}
        if name in _USUAL:
            asked["the usual way"] = _USUAL[name](kept)
        clocks = {"ms": time.perf_counter, "processor ms": time.process_time}
        times = {kind: {who: [] for who in asked} for kind in clocks}
        for act in asked.values():
            for _ in range(3):
                act()
        for _ in range(rounds):
            for who, act in asked.items():
                start = {kind: now() for kind, now in clocks.items()}
                for _ in range(_TURN):
                    act()
                for kind, now in clocks.items():
                    times[kind][who].append((now() - start[kind]) / _TURN * 1000)
        del os.environ["AWS_ENDPOINT_URL_DYNAMODB"]
    return {
        kind: {who: Spread.of(each, found["bare calls"]) for who, each in found.items()}
        for kind, found in times.items()
    }


def _usual_rufus(kept: Kept) -> Callable[[], None]:
    app, table = APIGatewayHttpResolver(enable_validation=True), boto3.resource("dynamodb").Table("DirectoryTable")
    (_, get), (_, transact) = kept.calls

    class Device(BaseModel):
        model: str
        serial_number: str

    @app.post("/v0/devices")
    def bind(device: Device) -> dict[str, str]:
        assert table.get_item(Key={name: value["S"] for name, value in get["Key"].items()}, ConsistentRead=True)["Item"]
        items = [_plain(item) for item in transact["TransactItems"]]
        table.meta.client.transact_write_items(TransactItems=items)
        return {"description": device.serial_number}

    return lambda: _ok(app.resolve(kept.event, None))


def _usual_vodlix(kept: Kept) -> Callable[[], None]:
    app, resource = APIGatewayHttpResolver(enable_validation=True), boto3.resource("dynamodb")
    (_, get), (_, update) = kept.calls
    settings, devices = resource.Table(get["TableName"]), resource.Table(update["TableName"])
    written = _plain({"Update": update})["Update"]
    del written["TableName"]

    class Player(BaseModel):
        mac_address: str
        device_os: str
        device_version: str
        device_type: str
        app_version: str
        app_name: str

    @app.post("/api/v2/device")
    def add(player: Player) -> dict[str, str]:
        settings.get_item(Key={name: value["S"] for name, value in get["Key"].items()}, ConsistentRead=True)
        devices.update_item(**written)
        return {"mac_address": player.mac_address}

    return lambda: _ok(app.resolve(kept.event, None))


_USUAL: dict[str, Callable[[Kept], Callable[[], None]]] = {
    "rufus.bind_device": _usual_rufus,
    "vodlix.add_device": _usual_vodlix,
}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """A transaction's item as boto3's resource takes it."""
    from bindery.attributes import decode

    ((member, request),) = item.items()
    plain = dict(request)
    for name in ("Key", "Item", "ExpressionAttributeValues"):
        if name in plain:
            plain[name] = decode(plain[name])
    return {member: plain}


def _ok(answer: dict[str, Any]) -> None:
    assert answer["statusCode"] == 200, answer


def silence() -> None:
    """Let the log go nowhere: a line costs what it costs, and nobody reads it."""
    for handler in logger.handlers:
        handler.stream = open(os.devnull, "w")  # noqa: SIM115 (for the process' life)


def now() -> str:
    """The day of the measurement."""
    return clock.today().isoformat()


def middle(times: list[float]) -> float:
    return statistics.median(times)
