"""The operations' sample requests, with other credentials and parameters."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from tests.http_api import SOURCE_IP, Response, invoke
from tools import template

Event = dict[str, Any]

CREDENTIALS = ("api_key", "x-api-key", "authorization", "token", "developerkey", "apikey")
"""Headers that carry a credential."""


def sample(
    name: str,
    headers: Mapping[str, str] | None = None,
    *,
    path: Mapping[str, str] | None = None,
    query: str | Mapping[str, Any] | None = None,
    body: Any = None,
) -> Event:
    """Return an operation's sample request with these credentials, and with the specified parts replaced.

    Bytes are base64-encoded, as the gateway does for most content types. Empty headers are left out.
    """
    event: Event = json.loads(template.function(name).event.read_text())
    given = {header: value for header, value in event["headers"].items() if header not in CREDENTIALS}
    event["headers"] = {header: value for header, value in (given | dict(headers or {})).items() if value}
    if path is not None:
        event["pathParameters"] = dict(path)
    if query is not None:
        event["rawQueryString"] = query if isinstance(query, str) else urlencode(query)
    if isinstance(body, bytes):
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    elif body is not None:
        event |= {"body": body if isinstance(body, str) else json.dumps(body), "isBase64Encoded": False}
    return event


def send(name: str, headers: Mapping[str, str] | None = None, *, source_ip: str = SOURCE_IP, **parts: Any) -> Response:
    """Send an operation's sample request with these credentials, and with the specified parts replaced."""
    event = sample(name, headers, **parts)
    event["requestContext"]["requestId"] = "request-1"
    event["requestContext"]["http"]["sourceIp"] = source_ip
    return invoke(name, event)
