"""API Gateway's HTTP API, as far as the functions can tell: an ASGI app over the routes of template.yaml.

It hands each request to its function's own handler, in this process, as a payload-2.0 event, and answers what the
handler returns. Like the gateway it decodes the path before it routes (so `%2F` separates segments) and leaves the
query string as it was sent, joins what is repeated by commas, takes the source address from the connection alone,
and marks a body base64 unless its type says that it is text. Routes behind IAM take requests that the local operator
signed, and refuse any other. What is not emulated: throttling, CORS (the template configures none), the 29 seconds
after which Lambda stops a function, and the 6 MB that its event and its answer may have.
"""

import asyncio
import base64
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tools import template
from tools.signatures import Operator

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a body that the gateway passes on."""
HEADER_LIMIT = 10_240
"""Bytes of the request line and all headers together."""
THREADS = 64
"""How many requests run at once; more wait their turn."""

Handler = Callable[[dict[str, Any], object], dict[str, Any]]

_TEXT = re.compile(r"text/.*|application/(json|xml|javascript|[^;]*\+(json|xml))")
_PARAMETER = re.compile(r"\{([^{}+]+)(\+?)\}")

logger = logging.getLogger("bindery.gateway")


class Context:
    """What Lambda passes beside the event."""

    function_version = "$LATEST"
    memory_limit_in_mb = 512

    def __init__(self, function: template.Function) -> None:
        self.function_name = function.logical_id
        self.invoked_function_arn = f"arn:aws:lambda:eu-central-1:000000000000:function:{function.logical_id}"
        self.log_group_name = f"/aws/lambda/{function.logical_id}"
        self.log_stream_name = "local"
        self.aws_request_id = str(uuid.uuid4())
        self._ends = time.monotonic() + 29

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would stop the function."""
        return max(0, int((self._ends - time.monotonic()) * 1000))


@dataclass(frozen=True)
class Target:
    """One route and what answers it."""

    key: str
    method: str
    pattern: re.Pattern[str]
    rank: tuple[Any, ...]
    """Orders routes that match the same request: at the first segment where they differ, a literal comes before a
    parameter and that before a greedy one; then a method of its own before `ANY`."""
    function: template.Function
    handler: Handler
    iam: bool

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The path parameters, or None if this is not the request's route."""
        found = self.pattern.fullmatch(path) if self.method in (method, "ANY") else None
        if found is None:
            return None
        return dict(zip(_names(self.key), found.groups(), strict=True))


def _names(path: str) -> list[str]:
    return [name for name, _ in _PARAMETER.findall(path)]


def _target(route: template.Route, function: template.Function, handler: Handler) -> Target:
    segments = route.path.split("/")
    kinds = [_PARAMETER.fullmatch(segment) for segment in segments]
    pattern = "/".join(
        re.escape(segment) if kind is None else "(.+)" if kind[2] else "([^/]+)"
        for segment, kind in zip(segments, kinds, strict=True)
    )
    rank = tuple(0 if kind is None else 2 if kind[2] else 1 for kind in kinds)
    method = route.method.upper()
    return Target(
        f"{method} {route.path}",
        method,
        re.compile(pattern, re.DOTALL),
        (rank, method == "ANY"),
        function,
        handler,
        route.iam,
    )


class Gateway:
    """The app: these functions at their routes. Without an operator nobody passes a route behind IAM."""

    def __init__(self, functions: Iterable[template.Function], operator: Operator | None = None) -> None:
        self._operator = operator
        found = [(route, function, function.load()) for function in functions for route in function.routes]
        self._targets = sorted(
            (_target(*entry) for entry in found if entry[0].path != "$default"), key=lambda target: target.rank
        )
        self._default = next(
            ((function, handler) for route, function, handler in found if route.path == "$default"), None
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="function")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        scope = request.scope
        line = len(scope["raw_path"]) + len(scope["query_string"])
        if line + sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_LIMIT:
            return _message(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                return _message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
        authorizer: dict[str, Any] | None = None
        for target in self._targets:
            parameters = target.match(request.method, scope["path"])
            if parameters is not None:
                key, function, handler = target.key, target.function, target.handler
                if target.iam:
                    if self._operator is None or not self._operator.signed(request, bytes(body)):
                        return _message(HTTPStatus.FORBIDDEN)
                    authorizer = self._operator.claims()
                break
        else:
            if self._default is None:
                return _message(HTTPStatus.NOT_FOUND)
            (function, handler), key, parameters = self._default, "$default", {}
        made = event(request, bytes(body), key, parameters)
        if authorizer is not None:
            made["requestContext"]["authorizer"] = authorizer
        try:
            answered = await asyncio.get_running_loop().run_in_executor(self._threads, handler, made, Context(function))
            response = _response(answered)
        except Exception:
            # As the gateway does, whatever a function raises.
            logger.exception("%s failed", function.name)
            return _message(HTTPStatus.INTERNAL_SERVER_ERROR)
        response.headers["apigw-requestid"] = made["requestContext"]["requestId"]
        return response


def event(request: Request, body: bytes, key: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The payload-2.0 event of a request."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.headers.items():
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    client = request.client.host if request.client else "127.0.0.1"
    forwarded = headers.get("x-forwarded-for")
    headers |= {
        "x-forwarded-for": f"{forwarded}, {client}" if forwarded else client,
        "x-forwarded-port": str(request.scope["server"][1]),
        "x-forwarded-proto": "http",
    }
    raw_query = request.scope["query_string"].decode("latin-1")
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    now = time.time()
    path = request.scope["path"]
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": headers.get("host", ""),
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.scope['http_version']}",
                "sourceIp": client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid.uuid4().hex,
            "routeKey": key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        made["cookies"] = cookies
    if query:
        made["queryStringParameters"] = query
    if parameters:
        made["pathParameters"] = dict(parameters)
    if body:
        text = _text(headers.get("content-type", ""), body)
        made["isBase64Encoded"] = text is None
        made["body"] = base64.b64encode(body).decode() if text is None else text
    return made


def _text(content_type: str, body: bytes) -> str | None:
    """The body as text, or None if it travels as base64: its type is no text's, or it is not UTF-8."""
    if not _TEXT.fullmatch(content_type.partition(";")[0].strip().lower()):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _response(answered: Mapping[str, Any]) -> Response:
    body = answered.get("body") or ""
    content = base64.b64decode(body) if answered.get("isBase64Encoded") else body.encode()
    response = Response(content, int(answered["statusCode"]))
    default = {} if response.status_code == HTTPStatus.NO_CONTENT else {"content-type": "text/plain;charset=UTF-8"}
    for name, value in (default | _lower(answered.get("headers") or {})).items():
        response.headers[name] = str(value)
    for cookie in answered.get("cookies") or []:
        response.headers.append("set-cookie", cookie)
    return response


def _lower(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items()}


def _message(status: HTTPStatus, text: str | None = None) -> Response:
    """An answer of the gateway's own. `text` is for a status whose name changes from one Python to the next."""
    return JSONResponse({"message": text or status.phrase}, status)
