"""The Postman collection: what is committed is what the document says, and its requests are the events."""

import json
import re
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tools import collection, openapi, template
from tools.template import Function


@pytest.fixture(scope="module")
def made() -> Any:
    return collection.collection(openapi.document())


@pytest.fixture(scope="module")
def requests(made: Any) -> dict[str, Any]:
    return {item["id"]: item["request"] for folder in made["item"] for item in folder["item"]}


def asked(request: Any) -> tuple[str, str, dict[str, str], Any]:
    """What a request of the collection asks: method, path, query and body."""
    url = request["url"]
    given = {f":{variable['key']}": variable["value"] for variable in url.get("variable", [])}
    path = "/" + "/".join(given.get(segment, segment) for segment in url["path"])
    query = {found["key"]: found["value"] for found in url.get("query", []) if not found.get("disabled")}
    sent = request.get("body", {})
    if sent.get("mode") == "urlencoded":
        return request["method"], path, query, {field["key"]: field["value"] for field in sent["urlencoded"]}
    return request["method"], path, query, json.loads(sent.get("raw", "null"))


def body(event: Any) -> Any:
    sent = event.get("body") or "null"
    return dict(parse_qsl(b64decode(sent).decode())) if event["isBase64Encoded"] else json.loads(sent)


def test_the_committed_collection_is_what_the_document_says(made: Any):
    assert collection.COLLECTION.read_text() == collection.text(made), "run: make openapi"


def test_the_committed_environment_names_what_the_collection_uses_and_gives_no_secret():
    committed = collection.ENVIRONMENT.read_text()
    assert committed == collection.text(collection.environment(collection.COLLECTION.read_text(), {}))
    given = {variable["key"]: variable["value"] for variable in json.loads(committed)["values"] if variable["value"]}
    assert given == {"url": "http://127.0.0.1:3000", "region": "eu-central-1"}


def test_every_operation_of_the_document_is_one_request(made: Any, requests: dict[str, Any]):
    ids = [operation["operationId"] for path in openapi.document()["paths"].values() for operation in path.values()]
    assert sorted(requests) == sorted(ids)
    assert sum(len(folder["item"]) for folder in made["item"]) == len(ids)


@pytest.mark.parametrize(
    "function",
    [function for function in template.functions() if not function.name.startswith("default.")],
    ids=lambda function: function.name,
)
def test_a_request_is_its_functions_event(requests: dict[str, Any], function: Function):
    event = json.loads(function.event.read_text())
    method, path = event["requestContext"]["http"]["method"], event["rawPath"]
    (request,) = [
        request
        for name, request in requests.items()
        if name.startswith(function.name) and asked(request)[:2] == (method, path)
    ]
    assert asked(request) == (method, path, dict(parse_qsl(event.get("rawQueryString", ""))), body(event))
    headers = {header["key"].lower(): header["value"] for header in request["header"]}
    assert set(headers) - {"content-type"} == set(event["headers"]) & {
        "api_key",
        "authorization",
        "token",
        "developerkey",
    }
    assert all(re.fullmatch(r"(bearer )?\{\{\w+\}\}", headers[name]) for name in headers if name != "content-type")
