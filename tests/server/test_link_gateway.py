"""The device link's gateway over real sockets, with small functions."""

import calendar
import json
import queue
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from bindery.aws.errors import ServiceError
from tests.server.servers import serving
from tools.local import authorizer
from tools.local.frames import FRAME_LIMIT, MESSAGE_LIMIT
from tools.local.gateway import THREADS
from tools.local.link import ARN, Limits, LinkGateway
from tools.local.loopback import Guard
from tools.template import Function

Handler = Callable[[dict[str, Any], Any], Any]
Start = Callable[..., "Running"]
Connect = Callable[..., "Client"]

ALLOW = {
    "principalId": "device",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ARN}],
    },
    "context": {"text": "a", "number": 1, "ratio": 0.5, "yes": True},
}
MORE, TEXT, BINARY = 0, 1, 2
"""Opcodes of frames."""
CONTEXT = {"principalId": "device", "text": "a", "number": "1", "ratio": "0.5", "yes": "true"}


def stub(name: str, handler: Handler) -> Function:
    class Stub(Function):
        def load(self) -> Handler:
            return handler

    return Stub(name, f"link.{name}.handler", (), {}, ())


class Running:
    """A gateway that is served until the next one is, and the events that its functions received."""

    def __init__(self, server: "Replaceable", **settings: Any) -> None:
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.disconnects: queue.Queue[dict[str, Any]] = queue.Queue()
        self.authorize: Handler = lambda event, context: ALLOW
        self.handle: Handler = lambda event, context: {"statusCode": 200}
        self.gateway = LinkGateway(
            {
                "authorizer": stub("authorize", self._authorize),
                "$default": stub("message", self._message),
                "$disconnect": stub("disconnect", self._disconnect),
            },
            {"ping": '{"type":"pong"}'},
            **settings,
        )
        self.port = server.port
        server.app = Guard(Router(self.gateway.routes()), Router(), ["https://friend.example"])

    def _authorize(self, event: dict[str, Any], context: Any) -> Any:
        self.requests.put(event)
        return self.authorize(event, context)

    def _message(self, event: dict[str, Any], context: Any) -> Any:
        self.messages.put(event)
        return self.handle(event, context)

    def _disconnect(self, event: dict[str, Any], context: Any) -> Any:
        self.disconnects.put(event)
        return {"statusCode": 200}

    def post(self, connection: str, text: str) -> None:
        assert self.gateway.call("PostToConnection", ConnectionId=connection, Data=text.encode()) == {}

    def delete(self, connection: str) -> None:
        assert self.gateway.call("DeleteConnection", ConnectionId=connection) == {}

    def echo(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self.post(event["requestContext"]["connectionId"], event["body"])
        return {"statusCode": 200}


class Replaceable:
    """An app that is served, and can be replaced."""

    def __init__(self) -> None:
        self.app: ASGIApp = Router()
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@contextmanager
def served() -> Iterator[Replaceable]:
    app = Replaceable()
    with serving(app) as url:
        app.port = int(url.rpartition(":")[2])
        yield app


@pytest.fixture(scope="module")
def server() -> Iterator[Replaceable]:
    with served() as app:
        yield app


@pytest.fixture
def start(server: Replaceable) -> Start:
    return lambda **settings: Running(server, **settings)


@pytest.fixture
def running(start: Start) -> Running:
    return start()


class Client:
    def __init__(self, running: Running, target: str = "/link", **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", running.port), 30)
        self.connection = WSConnection(ConnectionType.CLIENT)
        named = {"host": "127.0.0.1", "authorization": "Bearer key"} | headers
        host = named.pop("host")
        extra = [(name.encode(), value.encode()) for name, value in named.items() if value]
        self.send(Request(host=host, target=target, extra_headers=extra))
        self.opened = self.event()
        if isinstance(self.opened, RejectConnection):
            self.body = b""
            while not isinstance(data := self.event(), RejectData) or not data.body_finished:
                self.body += data.data if isinstance(data, RejectData) else b""
            self.body += data.data

    def send(self, event: Event) -> None:
        self.socket.sendall(self.connection.send(event))

    def text(self, text: str) -> None:
        self.send(TextMessage(data=text))

    def event(self) -> Event:
        while True:
            for event in self.connection.events():
                return event
            self.connection.receive_data(self.socket.recv(65536) or None)

    def message(self) -> str:
        text = ""
        while True:
            event = self.event()
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    return text

    def closed(self) -> int:
        """The close code. Messages before it are dropped."""
        while not isinstance(event := self.event(), CloseConnection):
            pass
        return int(event.code)


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[Client] = []

    def connected(*given: Any, **headers: str) -> Client:
        opened.append(Client(*given, **headers))
        return opened[-1]

    yield connected
    for client in opened:
        client.socket.close()


@pytest.fixture
def client(connect: Connect, running: Running) -> Client:
    return connect(running)


def accepted(running: Running, client: Client) -> str:
    assert isinstance(client.opened, AcceptConnection)
    connection: str = running.requests.get(timeout=30)["requestContext"]["connectionId"]
    return connection


def established(running: Running, client: Client) -> str:
    """The id of a client's connection, which functions can post to."""
    connection = accepted(running, client)
    client.text('{"type":"ping"}')
    assert client.message() == '{"type":"pong"}'
    return connection


def status(client: Client) -> int:
    assert isinstance(client.opened, RejectConnection)
    return client.opened.status_code


def error(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ServiceError) as raised:
        call()
    return raised.value.code, raised.value.status


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """A client's frame, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = struct.pack("!BH", 0x80 | 126, size) if size < 65536 else struct.pack("!BQ", 0x80 | 127, size)
    return bytes([opcode | 0x80 * last]) + length + bytes(4) + payload


def test_authorizer_receives_documented_event(running: Running, connect: Connect):
    port = str(running.port)
    connect(running, "/link?a=1&a=2&b=", **{"user-agent": "agent/1", "x-forwarded-for": "192.0.2.1"})
    event = running.requests.get(timeout=30)
    context = event.pop("requestContext")
    names = {name for name in event["headers"] if name.startswith("Sec-")} | {"Connection", "Upgrade"}
    assert event.pop("multiValueHeaders") == {name: [value] for name, value in event["headers"].items()}
    assert {name: value for name, value in event.pop("headers").items() if name not in names} == {
        "Host": "127.0.0.1",
        "Authorization": "Bearer key",
        "User-Agent": "agent/1",
        "X-Forwarded-For": "192.0.2.1, 127.0.0.1",
        "X-Forwarded-Port": port,
        "X-Forwarded-Proto": "http",
    }
    assert event == {
        "type": "REQUEST",
        "methodArn": ARN,
        "queryStringParameters": {"a": "2", "b": ""},
        "multiValueQueryStringParameters": {"a": ["1", "2"], "b": [""]},
        "stageVariables": {},
    }
    identity = {"sourceIp": "127.0.0.1", "userAgent": "agent/1"}
    assert constant(context) == {"routeKey": "$connect", "eventType": "CONNECT", "identity": identity}


def constant(context: dict[str, Any]) -> dict[str, Any]:
    """Check and remove the members of `requestContext` that are the same, or differ, in each event."""
    common = {"messageDirection": "IN", "stage": "link", "domainName": "127.0.0.1", "apiId": "local"}
    assert {name: context.pop(name) for name in common} == common
    for name in ("connectionId", "requestId", "extendedRequestId"):
        assert re.fullmatch(r"[\w-]{15}=", context.pop(name))
    requested = context.pop("requestTimeEpoch")
    assert 0 <= requested - context.pop("connectedAt") < 60_000
    assert abs(requested - time.time() * 1000) < 60_000
    assert calendar.timegm(time.strptime(context.pop("requestTime"), "%d/%b/%Y:%H:%M:%S +0000")) == requested // 1000
    return context


def test_message_event_has_authorizer_context_as_text(running: Running, client: Client):
    connection = accepted(running, client)
    client.text('{"type":"hello"}')
    event = running.messages.get(timeout=30)
    context = event.pop("requestContext")
    assert event == {"body": '{"type":"hello"}', "isBase64Encoded": False}
    assert context["connectionId"] == connection
    assert re.fullmatch(r"[\w-]{15}=", context.pop("messageId"))
    assert isinstance(context["authorizer"].pop("integrationLatency"), int)
    assert constant(context) == {
        "routeKey": "$default",
        "eventType": "MESSAGE",
        "identity": {"sourceIp": "127.0.0.1"},
        "authorizer": CONTEXT,
    }


def test_missing_authorization_is_refused_without_invocation(running: Running, connect: Connect):
    client = connect(running, authorization="")
    assert status(client) == 401
    assert json.loads(client.body)["message"] == "Unauthorized"
    assert running.requests.empty()


@pytest.mark.parametrize("target", ["/", "/link/", "/Link", "/%6Cink", "/link/x"])
def test_another_path_is_not_found(start: Start, connect: Connect, target: str):
    assert status(connect(start(), target)) == 404


def statement(effect: str = "Allow", action: Any = "execute-api:Invoke", resource: Any = ARN) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def policy(*statements: dict[str, Any], **others: Any) -> dict[str, Any]:
    return ALLOW | {"policyDocument": {"Version": "2012-10-17", "Statement": list(statements)}} | others


@pytest.mark.parametrize(
    "answer",
    [
        policy(statement(resource=ARN.replace("$connect", "*"))),
        policy(statement(action=["sqs:*", "execute-api:*"], resource=["x", "arn:aws:execute-api:?u-central-1:*"])),
        policy(statement("Deny", resource=ARN + "x"), statement()),
        policy(statement(), context={}),
    ],
)
def test_policy_that_allows_the_connection_is_accepted(running: Running, connect: Connect, answer: Any):
    running.authorize = lambda event, context: answer
    accepted(running, connect(running))


def broken(event: dict[str, Any], context: Any) -> Any:
    raise RuntimeError("secret")


FORBIDDEN = [
    policy(),
    policy(statement("Deny")),
    policy(statement(), statement("Deny", resource="*")),
    policy(statement(resource=ARN.replace("link", "other"))),
    policy(statement(action="lambda:InvokeFunction")),
]
INVALID = [
    None,
    "Allow",
    {"isAuthorized": True},
    {name: ALLOW[name] for name in ("policyDocument", "context")},
    ALLOW | {"principalId": 1},
    ALLOW | {"context": {"a": {"b": "c"}}},
    ALLOW | {"context": {"a": None}},
    ALLOW | {"context": {"a": "b" * authorizer.LIMIT}},
    ALLOW | {"statusCode": 200},
    ALLOW | {"policyDocument": {"Version": "2008-10-17", "Statement": []}},
    policy(statement("allow")),
    policy({"Effect": "Allow", "Resource": "*"}),
    ALLOW | {"context": {"a": object()}},
    broken,
]
REFUSED = [
    *((each, 403, "Forbidden") for each in FORBIDDEN),
    *((each, 500, "Internal server error") for each in INVALID),
]


@pytest.mark.parametrize(("answer", "code", "message"), REFUSED)
def test_other_response_of_the_authorizer_is_refused(
    running: Running, connect: Connect, answer: Any, code: int, message: str
):
    running.authorize = answer if callable(answer) else lambda event, context: answer
    client = connect(running)
    assert (status(client), json.loads(client.body)["message"]) == (code, message)


def test_ping_is_answered_without_invocation(running: Running, client: Client):
    client.text(' {"n": 1, "type": "ping"}')
    assert client.message() == '{"type":"pong"}'
    assert running.messages.empty()


@pytest.mark.parametrize(
    "text",
    ["", "ping", '"ping"', '["ping"]', '{"type":["ping"]}', '{"Type":"ping"}', '{"type":"$disconnect"}', "[" * 100_000],
)
def test_every_other_text_goes_to_default_route(running: Running, client: Client, text: str):
    for part in range(0, len(text) or 1, FRAME_LIMIT):
        last = part + FRAME_LIMIT >= len(text)
        client.send(TextMessage(data=text[part : part + FRAME_LIMIT], message_finished=last))
    assert running.messages.get(timeout=30)["body"] == text


def test_messages_of_one_connection_are_handled_concurrently(running: Running, client: Client):
    together = threading.Barrier(THREADS)

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        together.wait(30)
        return running.echo(event, context)

    running.handle = handle
    sent = {json.dumps({"n": number}) for number in range(THREADS)}
    for text in sent:
        client.text(text)
    assert {client.message() for _ in sent} == sent


@pytest.mark.parametrize("handle", [broken, lambda event, context: None, lambda event, context: {"body": "x"}])
def test_failed_function_is_reported_and_connection_stays_open(running: Running, client: Client, handle: Handler):
    running.handle = handle
    connection = accepted(running, client)
    client.text("x")
    request = running.messages.get(timeout=30)["requestContext"]["requestId"]
    assert json.loads(client.message()) == {
        "message": "Internal server error",
        "connectionId": connection,
        "requestId": request,
    }
    client.text('{"type":"ping"}')
    assert client.message() == '{"type":"pong"}'


def test_function_that_takes_too_long_is_reported(start: Start, connect: Connect):
    limits = Limits()
    running = start(limits=limits)
    reported = threading.Event()
    running.handle = lambda event, context: {"statusCode": 200 if reported.wait(30) else 500}
    client = connect(running)
    accepted(running, client)
    limits.function = 0.1
    client.text("x")
    assert json.loads(client.message())["message"] == "Endpoint request timed out"
    reported.set()


def test_largest_frames_and_message_are_accepted(running: Running, client: Client):
    # Characters of two bytes, some of them in two frames.
    body = b"x" + "é".encode() * (MESSAGE_LIMIT // 2 - 1) + b"y"
    parts = [body[at : at + FRAME_LIMIT] for at in range(0, MESSAGE_LIMIT, FRAME_LIMIT)]
    for number, part in enumerate(parts, 1):
        client.socket.sendall(frame(0 if number > 1 else 1, part, last=number == len(parts)))
    assert running.messages.get(timeout=30)["body"] == body.decode()


LARGEST = frame(TEXT, b"x" * FRAME_LIMIT, last=False), *[frame(MORE, b"x" * FRAME_LIMIT, last=False)] * 3


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(BINARY, b"x" * 200_000)], 1003),
        ([frame(BINARY, b"", last=False)], 1003),
        ([frame(TEXT, b"x" * (FRAME_LIMIT + 1))], 1009),
        ([*LARGEST, frame(MORE, b"x" * FRAME_LIMIT)], 1009),
        ([*LARGEST, frame(MORE, b"x")], 1009),
        ([frame(TEXT, b"\xff" + b"x" * 1000)], 1007),
        ([frame(MORE, b"x")], 1002),
    ],
)
def test_refused_frame_closes_connection(running: Running, client: Client, frames: list[bytes], code: int):
    client.socket.sendall(b"".join(frames))
    assert client.closed() == code
    context = running.disconnects.get(timeout=30)["requestContext"]
    assert context["disconnectStatusCode"] == code
    assert running.messages.empty()


def goes_away(client: Client, use: Callable[[], None]) -> bool:
    """Use a connection until it is closed, and return True if the server has gone away."""
    ends = time.monotonic() + 20
    event: Event = client.opened
    while not isinstance(event, CloseConnection) and time.monotonic() < ends:
        use()
        event = client.event()
    return isinstance(event, CloseConnection) and (event.code, event.reason) == (1001, "Going away")


def test_idle_connection_is_closed_though_server_posts_and_pings_are_answered(start: Start, connect: Connect):
    running = start(limits=Limits(idle=0.2))
    client = connect(running)
    connection = accepted(running, client)

    def use() -> None:
        client.send(Ping())
        with suppress(ServiceError):
            running.post(connection, "x")

    assert goes_away(client, use)


def test_message_restarts_idle_time(start: Start, connect: Connect):
    limits = Limits()
    running = start(limits=limits)
    client = connect(running)
    accepted(running, client)
    limits.idle = 0.1
    client.text('{"type":"ping"}')
    assert client.message() == '{"type":"pong"}'
    assert client.closed() == 1001


def test_lifetime_ends_connection_in_use(start: Start, connect: Connect):
    running = start(limits=Limits(lifetime=0.5))
    client = connect(running)
    assert goes_away(client, lambda: client.text('{"type":"ping"}'))


LARGE = "x" * MESSAGE_LIMIT
GONE = ("GoneException", 410)


def test_unknown_connection_is_gone(running: Running):
    assert error(lambda: running.post("L0SM9cOFvHcCIhw=", "x")) == GONE
    assert error(lambda: running.delete("L0SM9cOFvHcCIhw=")) == GONE


def test_connection_is_gone_until_it_is_established(running: Running, connect: Connect):
    found = []

    def authorize(event: dict[str, Any], context: Any) -> Any:
        found.append(error(lambda: running.post(event["requestContext"]["connectionId"], "x")))
        return ALLOW

    running.authorize = authorize
    accepted(running, connect(running))
    assert found == [GONE]


def test_closed_connection_is_gone(running: Running, client: Client):
    connection = accepted(running, client)
    client.send(CloseConnection(code=1000))
    running.disconnects.get(timeout=30)
    assert error(lambda: running.post(connection, "x")) == GONE


def test_deleted_connection_is_gone_at_once_but_receives_earlier_messages(running: Running, client: Client):
    connection = established(running, client)
    running.post(connection, "one")
    running.post(connection, "two")
    running.delete(connection)
    assert error(lambda: running.post(connection, "three")) == GONE
    assert [client.message(), client.message()] == ["one", "two"]
    event = client.event()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (1000, "Connection Closed Normally")


def test_function_can_post_largest_message_in_several_frames(running: Running, client: Client):
    connection = established(running, client)
    text = "é" * (MESSAGE_LIMIT // 2)
    running.post(connection, text)
    parts = []
    while not parts or not parts[-1].message_finished:
        event = client.event()
        assert isinstance(event, TextMessage)
        parts.append(event)
    assert "".join(part.data for part in parts) == text
    frames: list[int] = [0]
    for part in parts:
        frames[-1] += len(part.data.encode())
        if part.frame_finished:
            frames.append(0)
    assert len(frames) > 4
    assert max(frames) <= FRAME_LIMIT


def test_larger_message_cannot_be_posted(running: Running, client: Client):
    connection = established(running, client)
    assert error(lambda: running.post(connection, "x" * (MESSAGE_LIMIT + 1))) == ("PayloadTooLargeException", 413)


def fill(running: Running, connection: str) -> int:
    """Post messages until the buffer is full. Return how many were accepted."""
    posted = 0

    def post() -> None:
        nonlocal posted
        while posted < 1000:
            running.post(connection, LARGE)
            posted += 1

    assert error(post) == ("LimitExceededException", 429)
    return posted


def test_client_that_does_not_read_limits_posts(running: Running, client: Client):
    connection = established(running, client)
    posted = fill(running, connection)
    assert [client.message() for _ in range(posted)] == [LARGE] * posted
    running.post(connection, "x")
    assert client.message() == "x"


def test_client_that_does_not_read_can_be_deleted(running: Running, client: Client):
    connection = established(running, client)
    fill(running, connection)
    running.delete(connection)
    assert running.disconnects.get(timeout=30)["requestContext"]["disconnectStatusCode"] == 1000


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        (lambda client: client.send(CloseConnection(code=1001, reason="sleeping")), 1001, "sleeping"),
        (lambda client: client.send(CloseConnection(code=3000)), 3000, ""),
        (lambda client: client.socket.sendall(frame(8, b"")), 1005, "Client-side close frame status not set"),
        (lambda client: client.socket.close(), 1006, "Connection Closed Abnormally"),
    ],
)
def test_disconnect_event_has_close_code(
    running: Running, client: Client, close: Callable[[Client], None], code: int, reason: str
):
    connection = accepted(running, client)
    close(client)
    event = running.disconnects.get(timeout=30)
    context = event.pop("requestContext")
    assert event == {
        "headers": {"Host": "127.0.0.1", "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""},
        "multiValueHeaders": {"Host": ["127.0.0.1"], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]},
        "isBase64Encoded": False,
    }
    assert context["connectionId"] == connection
    context["authorizer"].pop("integrationLatency")
    assert constant(context) == {
        "routeKey": "$disconnect",
        "eventType": "DISCONNECT",
        "identity": {"sourceIp": "127.0.0.1"},
        "authorizer": CONTEXT,
        "disconnectStatusCode": code,
        "disconnectReason": reason,
    }


def test_server_that_stops_disconnects_clients(connect: Connect):
    with served() as server:
        running = Running(server)
        client = connect(running)
        connection = accepted(running, client)
    assert client.closed() == 1012
    assert running.disconnects.get(timeout=30)["requestContext"]["connectionId"] == connection


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1"}, None),
        ({"origin": "https://friend.example"}, None),
    ],
)
def test_websockets_of_other_hosts_and_origins_are_refused(
    running: Running, connect: Connect, headers: dict[str, str], expected: int | None
):
    client = connect(running, **headers)
    if expected is None:
        accepted(running, client)
    else:
        assert status(client) == expected
        assert running.requests.empty()
