"""The local gateway's events and responses, over HTTP, with functions that echo the event."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.server.servers import serving
from tools.local.gateway import BODY_LIMIT, HEADER_LIMIT, PAYLOAD_LIMIT, Gateway
from tools.template import Function, Route

PLAIN = {"Content-Type": "text/plain"}
BARRIER = threading.Barrier(32)


def echo(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"X-Function": context.function_name}, "body": json.dumps(event)}


def broken(event: dict[str, Any], context: Any) -> dict[str, Any]:
    raise RuntimeError("secret")


def binary(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {
        "statusCode": 201,
        "headers": {"Content-Type": "image/png", "X-Twice": "a"},
        "cookies": ["a=1", "b=2; Secure"],
        "body": base64.b64encode(b"\x00\xff").decode(),
        "isBase64Encoded": True,
    }


def together(event: dict[str, Any], context: Any) -> dict[str, Any]:
    BARRIER.wait(30)
    return {"statusCode": 204}


def size(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": str(len(event["body"]))}


def huge(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": "a" * PAYLOAD_LIMIT}


class Stub(Function):
    def load(self) -> Any:
        return globals()[self.handler]


def stub(logical_id: str, handler: str, *routes: tuple[str, str]) -> Stub:
    return Stub(logical_id, handler, tuple(Route(method, path) for method, path in routes), {}, ())


FUNCTIONS = [
    stub("Default", "echo", ("$default", "$default")),
    stub("Any", "echo", ("ANY", "/things/{thing-id}")),
    stub("Get", "echo", ("GET", "/things/{thing-id}")),
    stub("Literal", "echo", ("GET", "/things/all")),
    stub("Deep", "echo", ("GET", "/things/{thing-id}/parts/{part}")),
    stub("Greedy", "echo", ("GET", "/things/{rest+}")),
    stub("Broken", "broken", ("GET", "/broken")),
    stub("Binary", "binary", ("GET", "/binary")),
    stub("Together", "together", ("GET", "/together")),
    stub("Size", "size", ("POST", "/size")),
    stub("Huge", "huge", ("GET", "/huge")),
]


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    with serving(Gateway(FUNCTIONS)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(api: httpx.Client, method: str = "GET", path: str = "/", **request: Any) -> Any:
    answer = api.request(method, path, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_event_has_payload_format_2_0(api: httpx.Client):
    event = ask(
        api, "POST", "/some/path?a=1", content="hello", headers={"Content-Type": "text/plain", "User-Agent": "me"}
    )
    context = event.pop("requestContext")
    headers = event.pop("headers")
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/some/path",
        "rawQueryString": "a=1",
        "queryStringParameters": {"a": "1"},
        "isBase64Encoded": False,
        "body": "hello",
    }
    assert headers["content-type"] == "text/plain"
    assert headers["content-length"] == "5"
    assert context["http"] == {
        "method": "POST",
        "path": "/some/path",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }
    assert (context["routeKey"], context["stage"]) == ("$default", "$default")
    assert context["requestId"]
    assert context["time"].endswith("+0000")
    assert isinstance(context["timeEpoch"], int)


@pytest.mark.parametrize(
    ("method", "path", "function", "key", "parameters"),
    [
        ("GET", "/things/all", "Literal", "GET /things/all", None),
        ("GET", "/things/7", "Get", "GET /things/{thing-id}", {"thing-id": "7"}),
        ("PUT", "/things/7", "Any", "ANY /things/{thing-id}", {"thing-id": "7"}),
        ("HEAD", "/things/all", "Any", "ANY /things/{thing-id}", {"thing-id": "all"}),
        ("GET", "/things/a%20b%C3%A4%3F+", "Get", "GET /things/{thing-id}", {"thing-id": "a bä?+"}),
        ("GET", "/things/1/parts/2", "Deep", "GET /things/{thing-id}/parts/{part}", {"thing-id": "1", "part": "2"}),
        ("GET", "/things/1/2/3", "Greedy", "GET /things/{rest+}", {"rest": "1/2/3"}),
        ("GET", "/things/", "Default", "$default", None),
        ("POST", "/things/1/2", "Default", "$default", None),
        ("OPTIONS", "/", "Default", "$default", None),
    ],
)
def test_most_specific_route_handles_the_request(
    api: httpx.Client, method: str, path: str, function: str, key: str, parameters: dict[str, str] | None
):
    answer = api.request(method, path)
    assert answer.headers["x-function"] == function
    if method == "HEAD":
        assert answer.content == b""
    else:
        event = answer.json()
        assert event["routeKey"] == event["requestContext"]["routeKey"] == key
        assert event.get("pathParameters") == parameters


def test_path_is_decoded_but_query_string_is_not(api: httpx.Client):
    event = ask(api, path="/a%20b?x=1%202&x=3&y=&z=%C3%A4+b")
    assert event["rawPath"] == "/a b"
    assert event["rawQueryString"] == "x=1%202&x=3&y=&z=%C3%A4+b"
    assert event["queryStringParameters"] == {"x": "1 2,3", "y": "", "z": "ä b"}
    assert "queryStringParameters" not in ask(api)


def test_headers_are_lower_case_joined_and_keep_underscores(api: httpx.Client):
    event = ask(
        api, headers=[("API_Key", "k"), ("X-Two", "1"), ("x-two", "2"), ("Cookie", "a=1; b=2"), ("Cookie", "c=3")]
    )
    assert event["headers"]["api_key"] == "k"
    assert event["headers"]["x-two"] == "1,2"
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert "cookie" not in event["headers"]


def test_source_ip_is_taken_from_the_connection(api: httpx.Client):
    event = ask(api, headers={"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"})
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["headers"]["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"


@pytest.mark.parametrize(
    ("content_type", "plain"),
    [
        ("text/plain", True),
        ("text/html; charset=utf-8", True),
        ("application/json", True),
        ("Application/JSON;charset=UTF-8", True),
        ("application/xml", True),
        ("application/problem+json", True),
        ("application/soap+xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=b", False),
        ("application/octet-stream", False),
        ("application/jsonlines", False),
        ("image/png", False),
        (None, False),
    ],
)
def test_text_bodies_are_plain_and_others_base64_encoded(api: httpx.Client, content_type: str | None, plain: bool):
    body = '{"a":"ä"}'
    event = ask(api, "POST", content=body.encode(), headers={"Content-Type": content_type} if content_type else {})
    assert event["isBase64Encoded"] is not plain
    assert event["body"] == (body if plain else base64.b64encode(body.encode()).decode())


def test_invalid_utf_8_is_passed_on_unchanged(api: httpx.Client):
    event = ask(api, "POST", content=b"\xff{", headers={"Content-Type": "application/json"})
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff{"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_empty_body_is_omitted_from_the_event(api: httpx.Client, method: str):
    event = ask(api, method, headers={"Content-Type": "application/json"})
    assert "body" not in event
    assert event["isBase64Encoded"] is False


def test_largest_event_reaches_the_function(api: httpx.Client):
    body = b"a" * (PAYLOAD_LIMIT - 5000)
    assert ask(api, "POST", "/size", content=body, headers=PLAIN) == len(body)


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "message"),
    [
        ("POST", "/size", {"content": b"a" * PAYLOAD_LIMIT, "headers": PLAIN}, 413, "Request Entity Too Large"),
        ("POST", "/size", {"content": b"a" * (BODY_LIMIT + 1), "headers": PLAIN}, 413, "Request Entity Too Large"),
        ("GET", "/", {"headers": {"X-Long": "a" * HEADER_LIMIT}}, 431, "Request Header Fields Too Large"),
        ("GET", "/broken", {}, 500, "Internal Server Error"),
        ("GET", "/huge", {}, 500, "Internal Server Error"),
    ],
    ids=["event", "body", "headers", "exception", "response"],
)
def test_gateways_own_error_has_a_message(
    api: httpx.Client, method: str, path: str, request_: dict[str, Any], status: int, message: str
):
    answer = api.request(method, path, **request_)
    assert (answer.status_code, answer.text) == (status, f'{{"message":"{message}"}}')


def test_gateway_returns_404_without_a_default_route():
    with serving(Gateway(FUNCTIONS[1:])) as url:
        answer = httpx.post(f"{url}/things/all/of")
    assert (answer.status_code, answer.text) == (404, '{"message":"Not Found"}')


def test_response_keeps_headers_cookies_and_binary_body(api: httpx.Client):
    answer = api.get("/binary")
    assert (answer.status_code, answer.content) == (201, b"\x00\xff")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2; Secure"]
    assert answer.headers["apigw-requestid"]


def test_32_requests_run_concurrently(api: httpx.Client):
    with ThreadPoolExecutor(32) as threads:
        statuses = list(threads.map(lambda _: api.get("/together").status_code, range(32)))
    assert statuses == [204] * 32
