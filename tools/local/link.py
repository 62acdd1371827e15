"""The device link's WebSocket API, as strict as API Gateway, with functions that run in this process.

Like API Gateway, it invokes the functions for one connection's messages concurrently, sends messages in frames of at
most 32 KB, and closes connections after 10 idle minutes and after two hours. AWS does not say what counts as idle; here
only the device's messages do not, so pings in frames and the server's own messages do not keep a connection open.
Header names are capitalized, whatever the client sent.

Not emulated: throttling of connections and messages, the size limit of request headers, and refused messages shortly
after `$connect`. The size of a slow client's buffer is an assumption. `tools.local.frames` checks frames.
"""

import asyncio
import base64
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from threading import Lock
from typing import Any, Literal
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from bindery.aws.errors import ServiceError
from tools import template
from tools.local import authorizer, engine
from tools.local.frames import MESSAGE_LIMIT
from tools.local.gateway import THREADS, Context

STAGE = "link"
ARN = f"arn:aws:execute-api:{engine.REGION}:000000000000:local/{STAGE}/$connect"
"""Resource that the authorizer's policy must allow."""
BUFFER_LIMIT = 512 * 1024
"""Maximum bytes that wait for a client to read them."""
CLOSE_SECONDS = 1
"""Time for a client to read what was sent before the connection is closed."""
REASONS = {
    1000: "Connection Closed Normally",
    1001: "Going away",
    1005: "Client-side close frame status not set",
    1006: "Connection Closed Abnormally",
}

Direction = Literal["in", "out"]
Faults = Callable[[Direction, str], Iterable[float]]
"""For a message, the delay of each copy that arrives, in seconds: `()` loses it, `(0, 0.2)` duplicates it."""

logger = logging.getLogger("bindery.gateway")


@dataclass
class Limits:
    """Time limits in seconds."""

    idle: float = 600
    lifetime: float = 7200
    function: float = 29


class InvocationError(Exception):
    """A function failed. The message is API Gateway's."""


class Connection:
    """A WebSocket, from the upgrade request on."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.id = _token()
        self.authorizer: Mapping[str, str | int] = {}
        self.pending = 0
        """Bytes that the client has not read yet."""
        self.posting = 0
        """Bytes that were posted, and that this connection's event loop has not taken yet."""
        self.headers = Headers(scope=scope)
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.receive = receive
        self._scope = scope
        self._send = send
        self._connected_at = int(time.time() * 1000)
        self._outgoing: asyncio.Queue[str | None] = asyncio.Queue()

    def context(self, route: str, kind: str, **more: Any) -> dict[str, Any]:
        """Return `requestContext` of an event."""
        now, token = time.time(), _token()
        context = {
            "routeKey": route,
            "eventType": kind,
            "extendedRequestId": token,
            "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "messageDirection": "IN",
            "stage": STAGE,
            "connectedAt": self._connected_at,
            "requestTimeEpoch": int(now * 1000),
            "identity": {"sourceIp": self._scope["client"][0]},
            "requestId": token,
            "domainName": self.headers.get("host", ""),
            "connectionId": self.id,
            "apiId": "local",
            **more,
        }
        if (agent := self.headers.get("user-agent")) is not None:
            context["identity"]["userAgent"] = agent
        if self.authorizer:
            context["authorizer"] = self.authorizer
        return context

    def request(self) -> dict[str, Any]:
        """Return the authorizer's event."""
        headers = {name.title(): self.headers.getlist(name) for name in self.headers}
        client = self._scope["client"][0]
        headers |= {
            "X-Forwarded-For": [", ".join([*headers.get("X-Forwarded-For", []), client])],
            "X-Forwarded-Port": [str(self._scope["server"][1])],
            "X-Forwarded-Proto": ["http"],
        }
        query = parse_qs(self._scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return {
            "type": "REQUEST",
            "methodArn": ARN,
            "headers": {name: values[-1] for name, values in headers.items()},
            "multiValueHeaders": headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()},
            "multiValueQueryStringParameters": query,
            "stageVariables": {},
            "requestContext": self.context("$connect", "CONNECT"),
        }

    async def refuse(self, status: HTTPStatus, text: str) -> None:
        """Respond to the upgrade request with an error."""
        content = {"message": text, "connectionId": self.id, "requestId": _token()}
        await JSONResponse(content, status)(self._scope, self.receive, self._send)

    async def accept(self) -> None:
        """Respond to the upgrade request by switching protocols."""
        await self._send({"type": "websocket.accept"})

    def put(self, text: str) -> None:
        """Send a message as soon as the client has read the earlier ones."""
        self.pending += len(text.encode())
        self._outgoing.put_nowait(text)

    def end(self) -> None:
        """Send nothing after the messages that were put."""
        self._outgoing.put_nowait(None)
        if not self.ended.done():
            self.ended.set_result(None)

    async def write(self) -> None:
        """Send messages until `end`, or until the client has disconnected."""
        # `receive` reports the disconnect.
        with suppress(OSError):
            while (text := await self._outgoing.get()) is not None:
                await self._send({"type": "websocket.send", "text": text})
                self.pending -= len(text.encode())

    async def close(self, code: int) -> None:
        """Send a close frame."""
        # A client that has disconnected or does not read gets none.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send({"type": "websocket.close", "code": code, "reason": REASONS[code]})


class LinkGateway:
    """The ASGI app, and the client of its management API."""

    def __init__(
        self,
        functions: Mapping[str, template.Function],
        fixed: Mapping[str, str],
        limits: Limits | None = None,
        faults: Faults = lambda direction, text: (0,),
    ) -> None:
        """`functions` has `authorizer`, `$default` and `$disconnect`, and `fixed` the responses of the other routes."""
        self._functions = {key: (function, function.load()) for key, function in functions.items()}
        self._fixed = fixed
        self._limits = limits or Limits()
        self._faults = faults
        self._connections: dict[str, Connection] = {}
        self._lock = Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="link")

    def routes(self) -> list[WebSocketRoute]:
        """Return the route of all WebSockets."""
        return [WebSocketRoute("/{path:path}", self)]

    def connect(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Post to a connection or delete it, from any thread. Raises `ServiceError`."""
        data: bytes = request.get("Data", b"")
        if len(data) > MESSAGE_LIMIT:
            raise ServiceError("PayloadTooLargeException", 413, {})
        connection = self._connections.get(request["ConnectionId"])
        if connection is None:
            raise ServiceError("GoneException", 410, {})
        if operation == "PostToConnection":
            with self._lock:
                if connection.pending + connection.posting + len(data) > BUFFER_LIMIT:
                    raise ServiceError("LimitExceededException", 429, {})
                connection.posting += len(data)
            connection.loop.call_soon_threadsafe(self._posted, connection, data)
        elif operation == "DeleteConnection":
            self._connections.pop(connection.id, None)
            connection.loop.call_soon_threadsafe(connection.end)
        else:
            raise ValueError(operation)
        return {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authorize a connection and serve it."""
        connection = Connection(scope, receive, send)
        await receive()
        if scope["raw_path"] != f"/{STAGE}".encode():
            await connection.refuse(HTTPStatus.NOT_FOUND, "Not Found")
            return
        if not connection.headers.get("authorization"):
            await connection.refuse(HTTPStatus.UNAUTHORIZED, "Unauthorized")
            return
        try:
            allowed = await self._authorize(connection)
        except InvocationError as error:
            await connection.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        if not allowed:
            await connection.refuse(HTTPStatus.FORBIDDEN, "Forbidden")
            return
        await self._serve(connection)

    async def _authorize(self, connection: Connection) -> bool:
        started = time.monotonic()
        answer = await self._invoke("authorizer", connection.request())
        try:
            context = authorizer.evaluate(answer, ARN)
        except (KeyError, TypeError, ValueError):
            logger.exception("the authorizer's response is not valid")
            raise InvocationError("Internal server error") from None
        if context is None:
            return False
        connection.authorizer = {**context, "integrationLatency": int((time.monotonic() - started) * 1000)}
        return True

    async def _serve(self, connection: Connection) -> None:
        await connection.accept()
        self._connections[connection.id] = connection
        writer = asyncio.create_task(connection.write())
        reader = asyncio.create_task(self._read(connection))
        try:
            code, reason = await self._until_closed(connection, reader, writer)
        finally:
            self._connections.pop(connection.id, None)
            reader.cancel()
            writer.cancel()
        context = connection.context("$disconnect", "DISCONNECT", disconnectStatusCode=code, disconnectReason=reason)
        headers = {"Host": context["domainName"], "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
        event = {
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "requestContext": context,
            "isBase64Encoded": False,
        }
        # A failure is logged. API Gateway does not repeat the event.
        with suppress(InvocationError):
            await self._invoke("$disconnect", event)

    async def _until_closed(
        self, connection: Connection, reader: "asyncio.Task[tuple[int, str] | None]", writer: "asyncio.Task[None]"
    ) -> tuple[int, str]:
        """Return the close code and the reason."""
        either: set[asyncio.Future[Any]] = {reader, connection.ended}
        await asyncio.wait(either, timeout=self._limits.lifetime, return_when=asyncio.FIRST_COMPLETED)
        closed = reader.result() if reader.done() else None
        if closed is not None:
            return closed
        code = 1000 if connection.ended.done() else 1001
        self._connections.pop(connection.id, None)
        connection.end()
        await asyncio.wait({writer}, timeout=CLOSE_SECONDS)
        # Nothing can be sent after the close frame.
        writer.cancel()
        await connection.close(code)
        return code, REASONS[code]

    async def _read(self, connection: Connection) -> tuple[int, str] | None:
        """Handle messages. Return the close code and reason if the client disconnects, or None if it is idle."""
        while True:
            try:
                received = await asyncio.wait_for(connection.receive(), self._limits.idle)
            except TimeoutError:
                return None
            if received["type"] == "websocket.disconnect":
                code = int(received["code"])
                return code, received.get("reason") or REASONS.get(code, "")
            text = received["text"]
            self._deliver("in", text, connection, partial(self._start, connection, text))

    def _posted(self, connection: Connection, data: bytes) -> None:
        self._post(connection, data.decode())
        with self._lock:
            connection.posting -= len(data)

    def _post(self, connection: Connection, text: str) -> None:
        self._deliver("out", text, connection, partial(connection.put, text))

    def _deliver(self, direction: Direction, text: str, connection: Connection, deliver: Callable[[], None]) -> None:
        for delay in self._faults(direction, text):
            # Timers that end at the same time run in any order.
            if delay:
                connection.loop.call_later(delay, deliver)
            else:
                deliver()

    def _start(self, connection: Connection, text: str) -> None:
        task = connection.loop.create_task(self._handle(connection, text))
        # The loop itself keeps no reference.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, connection: Connection, text: str) -> None:
        """Route a message."""
        fixed = self._fixed.get(_route(text))
        if fixed is not None:
            self._post(connection, fixed)
            return
        context = connection.context("$default", "MESSAGE", messageId=_token())
        event = {"requestContext": context, "body": text, "isBase64Encoded": False}
        try:
            answer = await self._invoke("$default", event)
            if not isinstance(answer, dict) or not isinstance(answer.get("statusCode"), int):
                logger.error("the response to a message has no statusCode")
                raise InvocationError("Internal server error")
        except InvocationError as error:
            content = {"message": str(error), "connectionId": connection.id, "requestId": context["requestId"]}
            self._post(connection, json.dumps(content))

    async def _invoke(self, key: str, event: Mapping[str, Any]) -> Any:
        """Return a function's response. Raises `InvocationError`."""
        function, handler = self._functions[key]

        def invoke() -> Any:
            return json.loads(json.dumps(handler(json.loads(json.dumps(event)), Context(function))))

        invocation = asyncio.get_running_loop().run_in_executor(self._threads, invoke)
        await asyncio.wait({invocation}, timeout=self._limits.function)
        if not invocation.done():
            logger.error("%s timed out", function.name)
            raise InvocationError("Endpoint request timed out")
        try:
            return invocation.result()
        except Exception:
            logger.exception("%s failed", function.name)
            raise InvocationError("Internal server error") from None


def _route(text: str) -> str:
    """Evaluate `$request.body.type`."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "$default"
    found = body.get("type") if isinstance(body, dict) else None
    return found if isinstance(found, str) else "$default"


def _token() -> str:
    """Return a connection id, request id or message id."""
    return base64.urlsafe_b64encode(secrets.token_bytes(11)).decode()
