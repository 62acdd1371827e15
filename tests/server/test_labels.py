"""Hosts of the local server: labels of connections, its own names, and others."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Router

from tests.server.servers import serving
from tools.local.gateway import Gateway
from tools.local.labels import Labels
from tools.local.loopback import Guard
from tools.template import Function, Route

LABEL = "proxyabcdefghijklmnop"


class Echo(Function):
    def load(self) -> Any:
        return lambda event, context: {"statusCode": 201, "body": json.dumps(event)}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    echo = Echo("Echo", "echo.handler", (Route("$default", "$default"),), {}, ())
    guard = Guard(PlainTextResponse("the APIs"), Router(), ())
    with serving(Labels(Gateway([echo]), guard)) as url:
        yield url


def status(url: str, host: str, **headers: str) -> int:
    return httpx.get(f"{url}/docs/", headers={"Host": host, **headers}, verify=False).status_code


def test_label_gets_any_request(url: str):
    port = httpx.URL(url).port
    answer = httpx.request(
        "PROPFIND",
        f"{url}/docs/a%20b?x=%20",
        headers={"Host": f"{LABEL}.localhost:{port}", "Origin": "https://app.example.com"},
    )
    event = answer.json()
    assert (answer.status_code, event["routeKey"]) == (201, "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/docs/a b", "x=%20")
    assert event["headers"]["host"] == f"{LABEL}.localhost:{port}"
    assert event["requestContext"]["domainName"] == f"{LABEL}.localhost"
    assert event["requestContext"]["domainPrefix"] == LABEL
    assert "access-control-allow-origin" not in answer.headers


def test_upgrade_at_a_label_is_an_http_request(url: str):
    port = httpx.URL(url).port
    lines = (
        "GET /chat HTTP/1.1",
        f"Host: {LABEL}.localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    with socket.create_connection(("127.0.0.1", port), 30) as opened, opened.makefile("rb") as reader:
        opened.sendall("\r\n".join((*lines, "", "")).encode())
        head = reader.read()
    assert head.startswith(b"HTTP/1.1 201")
    assert json.loads(head.partition(b"\r\n\r\n")[2])["headers"]["upgrade"] == "websocket"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (f"{LABEL}.localhost", 201),
        (f"{LABEL.upper()}.LOCALHOST:1", 201),
        ("127.0.0.1", 200),
        ("localhost:1", 200),
        (f"{LABEL}.localhost.example.com", 403),
        (f"{LABEL}.example.com", 403),
        (f"{LABEL}q.localhost", 403),
        (f"x.{LABEL}.localhost", 403),
        ("printer.localhost", 403),
        (f"{LABEL}.localhost:80@example.com", 403),
        (LABEL, 403),
    ],
)
def test_host_decides_between_labels_and_apis(url: str, host: str, expected: int):
    assert status(url, host) == expected


def test_page_of_a_label_cannot_call_the_apis(url: str):
    port = httpx.URL(url).port
    assert status(url, f"localhost:{port}", origin=f"http://{LABEL}.localhost:{port}") == 403
