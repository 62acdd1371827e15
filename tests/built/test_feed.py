"""The functions of the change feed, as built by `make build`, in Lambda's runtime loop."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3

from bindery.core import env
from bindery.registry import identity
from tests import feed, rufus
from tests.built.test_functions import Built, registry
from tests.openid import Bank
from tools.local.engine import Engine


@contextmanager
def bus() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run an endpoint of EventBridge that accepts every event. Yield its URL and the entries that it gets."""
    entries: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["X-Amz-Target"] == "AWSEvents.PutEvents"
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["Entries"]
            entries.extend(given)
            answer = json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in given]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Write no line."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", entries
    finally:
        server.shutdown()
        server.server_close()


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
