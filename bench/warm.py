"""Time of a warm request, compared with its bare DynamoDB calls and with a conventional implementation.

The stories run once on the local engine, and the calls and responses of each measured case are kept. Then a stub on
loopback replays the responses in order, over one connection, to each of the three.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import jwt
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from botocore import xform_name
from pydantic import BaseModel, Field

from bench.init import Spread
from bindery.aws import connections, direct, dynamodb
from bindery.aws.attribute_values import decode
from bindery.core import clock
from bindery.http.operation import logger
from bindery.security import secrets
from tests.openid import AUDIENCE, Bank, rsa_key
from tests.performance.stories import STORIES, World
from tools import template

CASES = {
    "rufus.bind_device": "bound again",
    "quectel.bind_device_sn": "unique mode",
    "asseco.register_owned_device": "success",
    "remoteit.connect_device": "connected again",
    "vodlix.add_device": "again",
}
"""Measured case of each binding operation."""

_TURN = 10
"""Number of requests per turn."""


@dataclass
class Kept:
    """A case: its event, and its calls and responses."""

    event: dict[str, Any]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[connections.Response] = field(default_factory=list)


_keeping: Kept | None = None


_send = direct.Client.send


def _keep(client: direct.Client, operation: str, body: bytes) -> connections.Response:
    response = _send(client, operation, body)
    if _keeping is not None and client.service.name == "dynamodb":
        _keeping.calls.append((operation, json.loads(body)))
        _keeping.answers.append(response)
    return response


def install() -> None:
    """Keep calls and responses while a measured case runs."""
    direct.Client.send = _keep  # type: ignore[method-assign]


def keep(world: World) -> dict[str, Kept]:
    """Run the stories, and keep the measured cases."""
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
    """Run a server that replays a case's responses in turn, and yield its URL."""
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


def measure(name: str, kept: Kept, bank: Bank, rounds: int) -> dict[str, dict[str, Spread]]:
    """Return elapsed and CPU milliseconds per request of the operation and its peers, measured in turn."""
    with stub(kept) as url:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
        dynamodb.client.cache_clear()
        handler = template.function(name).load()
        client = boto3.client("dynamodb")
        calls = [(getattr(client, xform_name(operation)), params) for operation, params in kept.calls]

        def ours() -> None:
            assert handler(dict(kept.event), None)["statusCode"] < 300

        def bare() -> None:
            for method, params in calls:
                method(**params)

        asked: dict[str, Callable[[], None]] = {
            "bare calls": bare,
            "operation": ours,
            "the usual way": _usual(name, kept, bank),
        }
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


def _usual(name: str, kept: Kept, bank: Bank) -> Callable[[], None]:
    """Return a conventional implementation: a validating resolver, a boto3 resource, and PyJWT for tokens.

    It makes the kept calls and returns a response, without evaluating what it reads.
    """
    app, client = APIGatewayHttpResolver(enable_validation=True), boto3.resource("dynamodb").meta.client
    calls = [(getattr(client, xform_name(operation)), _plain(params)) for operation, params in kept.calls]
    keys = {dialect: secrets.session_secret(dialect) for dialect in ("quectel", "remoteit")}
    public = rsa_key("key-1").public_key()

    def verify(dialect: str, token: str) -> None:
        jwt.decode(token, keys[dialect], ["HS256"], options={"verify_aud": False})

    def make_calls() -> None:
        for method, params in calls:
            method(**params)

    class Device(BaseModel):
        model: str
        serial_number: str

    @app.post("/v0/devices")
    def rufus(device: Device) -> dict[str, str]:
        make_calls()
        return {"description": device.serial_number}

    @app.post("/v2/binding/enduserapi/bindDeviceSn")
    def quectel(pk: str, sn: str) -> dict[str, str]:
        jwt.decode(
            app.current_event.headers["authorization"], keys["quectel"], ["HS256"], options={"verify_aud": False}
        )
        make_calls()
        return {"pk": pk, "sn": sn}

    class OwnedDevice(BaseModel):
        identifier: str = Field(alias="external-device-identifier")
        operating_system: str = Field(alias="operating-system")
        nickname: str
        brand_name: str | None = Field(None, alias="brand-name")
        model_name: str | None = Field(None, alias="model-name")

    @app.post("/v1/device/owned-devices")
    def asseco(device: OwnedDevice) -> dict[str, str]:
        token = app.current_event.headers["authorization"].split()[1]
        jwt.decode(token, public, ["RS256"], audience=AUDIENCE, issuer=bank.url)
        make_calls()
        return {"id": device.identifier}

    class Connection(BaseModel):
        deviceaddress: str
        wait: str | None = None

    @app.post("/apv/v27/device/connect")
    def remoteit(connection: Connection) -> dict[str, str]:
        verify("remoteit", app.current_event.headers["token"])
        make_calls()
        return {"deviceaddress": connection.deviceaddress}

    class Player(BaseModel):
        mac_address: str
        device_os: str
        device_version: str
        device_type: str
        app_version: str
        app_name: str

    @app.post("/api/v2/device")
    def vodlix(player: Player) -> dict[str, str]:
        make_calls()
        return {"mac_address": player.mac_address}

    event = {**kept.event, "headers": {**kept.event["headers"], "content-type": "application/json"}}

    def ask() -> None:
        answer = app.resolve(event, None)
        assert answer["statusCode"] == 200, (name, answer)

    return ask


def _plain(params: Any) -> Any:
    """Return a call's parameters in the form that a boto3 resource takes."""
    if isinstance(params, list):
        return [_plain(each) for each in params]
    if not isinstance(params, dict):
        return params
    return {
        name: decode(value)
        if name in ("Key", "Item", "ExpressionAttributeValues")
        else [decode(key) for key in value]
        if name == "Keys"
        else _plain(value)
        for name, value in params.items()
    }


def silence() -> None:
    """Discard log output. Lines are still formatted, so their cost is measured."""
    for handler in logger.handlers:
        handler.stream = open(os.devnull, "w")  # noqa: SIM115 (for the process' life)


def now() -> str:
    """The day of the measurement."""
    return clock.today().isoformat()
