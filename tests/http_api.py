"""Invoke functions with the events that API Gateway sends, and read their responses."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests import calls, documented
from tools import template

SOURCE_IP = "203.0.113.9"


@dataclass(frozen=True)
class Response:
    """Response of a function."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


def event(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: str | bytes | None = None,
    query: str | Mapping[str, Any] = "",
    path_parameters: Mapping[str, str] | None = None,
    route: str | None = None,
    source_ip: str = SOURCE_IP,
) -> dict[str, Any]:
    """Return an event in payload format 2.0. Bytes are base64-encoded, as the gateway does for most content types."""
    raw_query = query if isinstance(query, str) else urlencode(query)
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route or f"{method} {path}",
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.execute-api.eu-central-1.amazonaws.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source_ip,
                "userAgent": "test",
            },
            "requestId": "request-1",
            "routeKey": route or f"{method} {path}",
            "stage": "$default",
            "time": "20/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795176000000,
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if path_parameters:
        made["pathParameters"] = dict(path_parameters)
    if body is not None:
        made["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return made


def invoke(name: str, request: Mapping[str, Any]) -> Response:
    """Run the real handler of an operation (`rufus.bind_device`); check its round trips and its documented response."""
    handler = template.function(name).load()
    with calls.recording(name) as invocation:
        answer = handler(dict(request), SimpleNamespace(aws_request_id="lambda-1"))
    limit = calls.MORE_ROUND_TRIPS.get(name, calls.ROUND_TRIPS)
    assert name.startswith("admin.") or len(invocation.dynamodb) <= limit, invocation.dynamodb
    # A request spends from the bucket of an API key, of an account, or of both.
    assert len(invocation.rates) <= 2
    response = Response(answer["statusCode"], answer["headers"], answer["body"])
    documented.check(name, request, response.status, response.headers, response.body)
    return response


OPERATOR = "arn:aws:iam::123456789012:user/operator"


def admin(
    resource: str, method: str, path: str, body: Any = None, *, query: str | Mapping[str, Any] = "", who: str = OPERATOR
) -> Response:
    """Invoke an admin resource (`accounts`) as API Gateway does once it has verified the signature of `who`."""
    headers = {} if body is None else {"content-type": "application/json"}
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    request = event(method, f"/admin/v1/{path}", headers=headers, body=text, query=query, route=f"ANY /admin/v1/{path}")
    if request["rawQueryString"]:
        request["queryStringParameters"] = dict(parse_qsl(request["rawQueryString"]))
    request["requestContext"]["authorizer"] = {"iam": {"userArn": who, "accountId": "123456789012"}}
    return invoke(f"admin.{resource}", request)
