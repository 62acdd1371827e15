"""ASGI app that calls the functions of template.yaml in this process.

Like API Gateway, it decodes the path before routing (`%2F` separates segments), joins repeated headers and parameters
with commas, and base64-encodes bodies that are not text. Not emulated: throttling and Lambda's time limit (29 s).
"""

import asyncio
import base64
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tools import template
from tools.local.signatures import Operator

BODY_LIMIT = 10 * 1024 * 1024
"""Maximum bytes of a body."""
PAYLOAD_LIMIT = 6 * 1024 * 1024
"""Maximum bytes of an event, and of a function's response, as JSON: Lambda's limit."""
HEADER_LIMIT = 10_240
"""Maximum bytes of request line and headers."""
THREADS = 64
"""Maximum number of concurrent requests."""
INVOCATIONS = 8
"""Maximum number of concurrent asynchronous invocations."""

Handler = Callable[[dict[str, Any], object], dict[str, Any]]

_TEXT = re.compile(r"text/.*|application/(json|xml|javascript|[^;]*\+(json|xml))")
_PARAMETER = re.compile(r"\{([^{}+]+)(\+?)\}")

logger = logging.getLogger("bindery.gateway")


class Context:
    """Lambda context object."""

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
        """Return the milliseconds until Lambda would time out."""
        return max(0, int((self._ends - time.monotonic()) * 1000))


# Starlette's routes do not support parameter names with hyphens, and are less strict than API Gateway: a GET route also
# accepts HEAD, an unsupported method gets 405 instead of the default route, and a path may end with a newline.
@dataclass(frozen=True)
class Target:
    """A route and its function."""

    key: str
    method: str
    pattern: re.Pattern[str]
    rank: tuple[Any, ...]
    """Priority of a route: literal segments before parameters before greedy ones, `ANY` last."""
    function: template.Function
    handler: Handler
    iam: bool

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the path parameters, or None if the route does not match."""
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


class Functions:
    """Client of Lambda that runs the functions in this process, passing events and responses as JSON."""

    def __init__(self) -> None:
        # It starts threads only for asynchronous invocations.
        self._threads = ThreadPoolExecutor(INVOCATIONS, thread_name_prefix="invocation")

    def connect(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Drop asynchronous invocations that have not started, and wait for the others."""
        self._threads.shutdown(cancel_futures=True)

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Return the output of `Invoke`."""
        name = request["FunctionName"].removeprefix("bindery-local-").replace("-", ".", 1)
        function, event = template.function(name), json.loads(request["Payload"])
        if request.get("InvocationType") == "Event":
            self.start(function, event)
            return {"Payload": BytesIO()}
        return {"Payload": BytesIO(json.dumps(self.run(function, event)).encode())}

    def start(self, function: template.Function, event: dict[str, Any]) -> None:
        """Invoke a function asynchronously."""
        self._threads.submit(self._run_logged, function, event)

    def _run_logged(self, function: template.Function, event: dict[str, Any]) -> None:
        try:
            self.run(function, event)
        except Exception:
            # Nobody waits for the result. Lambda logs it too.
            logger.exception("%s failed", function.name)

    def run(self, function: template.Function, event: dict[str, Any]) -> Any:
        """Return a function's response."""
        return function.load()(event, Context(function))


class Gateway:
    """The ASGI app. Routes with IAM authorization accept only requests that `operator` signed."""

    def __init__(
        self, functions: Iterable[template.Function], operator: Operator | None = None, origins: str = ""
    ) -> None:
        """`origins` is the template's parameter AllowedOrigins."""
        self._operator = operator
        self._cors = template.cors(origins)
        self.origins: tuple[str, ...] = tuple(self._cors.get("allowOrigins", ()))
        found = [(route, function, function.load()) for function in functions for route in function.routes]
        self._targets = sorted(
            (_target(*entry) for entry in found if entry[0].path != "$default"), key=lambda target: target.rank
        )
        self._default = next(
            ((function, handler) for route, function, handler in found if route.path == "$default"), None
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="function")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
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
        return await self._invoke(function, handler, request, made)

    async def _invoke(
        self, function: template.Function, handler: Handler, request: Request, made: dict[str, Any]
    ) -> Response:
        """Return a function's response to the event of a request, or an error of the gateway."""
        if len(json.dumps(made)) > PAYLOAD_LIMIT:
            return _message(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Request Entity Too Large")
        try:
            answered = await asyncio.get_running_loop().run_in_executor(self._threads, handler, made, Context(function))
            if len(json.dumps(answered)) > PAYLOAD_LIMIT:
                raise ValueError(f"the response has more than {PAYLOAD_LIMIT} bytes")
            response = _response(answered)
        except Exception:
            # API Gateway responds this way to any exception.
            logger.exception("%s failed", function.name)
            return _message(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._add_cors(request, response)
        response.headers["apigw-requestid"] = made["requestContext"]["requestId"]
        return response

    def _add_cors(self, request: Request, response: Response) -> None:
        """Replace the function's CORS headers, as API Gateway does if CORS is configured."""
        if not self.origins:
            return
        for name in [name for name in response.headers if name.startswith("access-control-")]:
            del response.headers[name]
        origin = request.headers.get("origin")
        allowed = [each for each in self.origins if each in (origin, "*")]
        if origin is None or not allowed:
            return
        response.headers["access-control-allow-origin"] = allowed[0]
        response.headers["access-control-expose-headers"] = ",".join(self._cors["exposeHeaders"])
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            response.headers["access-control-allow-methods"] = ",".join(self._cors["allowMethods"])
            response.headers["access-control-allow-headers"] = ",".join(self._cors["allowHeaders"])
            response.headers["access-control-max-age"] = str(self._cors["maxAge"])


def event(request: Request, body: bytes, key: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return a request's event (payload format 2.0)."""
    headers = _headers(request)
    raw_query = request.scope["query_string"].decode("latin-1")
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": request.scope["path"],
        "rawQueryString": raw_query,
        "headers": headers,
        "requestContext": _request_context(request, key, headers),
        "isBase64Encoded": False,
    }
    cookies = [cookie.strip() for header in request.headers.getlist("cookie") for cookie in header.split(";")]
    if any(cookies):
        made["cookies"] = [cookie for cookie in cookies if cookie]
    if query := _joined(parse_qsl(raw_query, keep_blank_values=True)):
        made["queryStringParameters"] = query
    if parameters:
        made["pathParameters"] = dict(parameters)
    if body:
        text = _text(headers.get("content-type", ""), body)
        made["isBase64Encoded"] = text is None
        made["body"] = base64.b64encode(body).decode() if text is None else text
    return made


def _headers(request: Request) -> dict[str, str]:
    """Return the headers of a request's event."""
    headers = _joined((name, value) for name, value in request.headers.items() if name != "cookie")
    client = _client(request)
    forwarded = headers.get("x-forwarded-for")
    return headers | {
        "x-forwarded-for": f"{forwarded}, {client}" if forwarded else client,
        "x-forwarded-port": str(request.scope["server"][1]),
        "x-forwarded-proto": "http",
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join the values of each name with commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _client(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"


def _request_context(request: Request, key: str, headers: Mapping[str, str]) -> dict[str, Any]:
    now = time.time()
    domain = headers.get("host", "").partition(":")[0]
    return {
        "accountId": "000000000000",
        "apiId": "local",
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.scope["path"],
            "protocol": f"HTTP/{request.scope['http_version']}",
            "sourceIp": _client(request),
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": uuid.uuid4().hex,
        "routeKey": key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _text(content_type: str, body: bytes) -> str | None:
    """Return the body as text, or None if it must be base64-encoded."""
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
    """Return an error of the gateway."""
    return JSONResponse({"message": text or status.phrase}, status)
