"""The functions of the change feed, as built by `make build`, in Lambda's runtime loop."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from bindery.core import env
from bindery.registry import identity
from tests import feed, rufus
from tests.built.test_functions import Built, registry
from tests.openid import Bank
from tests.server.servers import serving
from tools.local.engine import Engine


@contextmanager
def bus() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run an endpoint of EventBridge that accepts every event. Yield its URL and the entries that it gets."""
    entries: list[dict[str, Any]] = []

    async def put(request: Request) -> Response:
        assert request.headers["X-Amz-Target"] == "AWSEvents.PutEvents"
        given = json.loads(await request.body())["Entries"]
        entries.extend(given)
        return JSONResponse({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in given]})

    with serving(Router([Route("/", put, methods=["POST"])])) as url:
        yield url, entries


def inserted(device: str) -> feed.Record:
    """Return the stream record of a new device."""
    table = env.read("DEVICES_TABLE")
    item = boto3.client("dynamodb").get_item(TableName=table, Key={"pk": {"S": device}})["Item"]
    return feed._record(1, (table, device, ""), None, item)


def test_built_functions_record_and_deliver(engine: Engine, bank: Bank, tmp_path: Path) -> None:
    with registry(engine, bank, {}), bus() as (url, entries), Built(engine, bank, tmp_path) as built:
        rufus.install()
        rufus.bound()
        record = inserted(identity.company_device("acme", "Model X1", "DEVICE-123"))
        for client in ("direct", "botocore"):
            recorder = built.slot("feed.record", AWS_CLIENT=client, AWS_ENDPOINT_URL_EVENTBRIDGE=url)
            assert recorder.invoke({"Records": [record]}) == {"batchItemFailures": []}, recorder.said()
        first, again = entries
        assert first == again
        assert (first["Source"], first["DetailType"]) == ("bindery", "device.registered")
        assert json.loads(first["Detail"])["seq"] == 1
        assert built.slot("feed.deliver").invoke({}) == {}
