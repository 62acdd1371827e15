"""relay: requests and responses as the service and the client get them, clients that are admitted, access that ends."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.connectivity import frames, leases, service_addresses
from bindery.connectivity.leases import FIRST_CLIENT
from bindery.core import clock
from bindery.directory import accounts, users
from bindery.http.operation import logger
from bindery.registry import identity, items
from bindery.registry.items import ServiceKind
from bindery.relay import http_messages
from tests import aws_calls, calls, rufus
from tests.http_api import SOURCE_IP, admin
from tests.records import ADDRESS
from tests.relay import FRAME, Answer, Part, World, echo, plain
from tests.tables import everything, item_at, stored

pytestmark = pytest.mark.usefixtures("registry")

TUNNEL = "bindery tunnel 80:00:00:00:00:00:00:F1 --service http --listen 8080"
OWN = {"referrer-policy": "no-referrer", "x-robots-tag": "noindex"}


def served(request: bytes = b"", *, response: bytes = b"", parts: Iterable[Part] = (), method: str = "GET") -> Answer:
    """Return what a client gets for a service's response."""
    return World(lambda _: parts or [response]).ask(method)


def head(world: World) -> list[str]:
    """Return the lines of the head of the only request that the service got."""
    (request,) = world.agent.requests
    return request.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def got(world: World) -> dict[str, str]:
    """Return the headers of the request, without those that every request has."""
    lines = [line.partition(": ") for line in head(world)[1:]]
    names = [name for name, _, _ in lines]
    assert len(names) == len(set(names))
    always = ("host", "connection", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")
    return {name: value for name, _, value in lines if name not in always}


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, http_messages.BODY_LIMIT])
def test_body_is_the_same_in_both_directions(size: int) -> None:
    world = World(echo)
    body = random.Random(size).randbytes(size)
    answer = world.ask("POST", body=body)
    assert (answer.status, answer.body == body) == (200, True)
    assert world.agent.requests[0].endswith(b"\r\n\r\n" + body)


def test_request_is_one_message_if_it_is_short() -> None:
    world = World(echo)
    world.ask()
    (opened,) = world.agent.got
    stream = opened.pop("s")
    assert len(stream) <= 200
    assert opened.keys() == {"type", "svc", "n", "d", "fin"}
    assert (opened["type"], opened["svc"], opened["n"], opened["fin"]) == ("open", "http", 0, True)


def test_service_gets_the_client_and_the_host_name() -> None:
    world = World(echo)
    host = f"{world.lease.label}.proxy.example.com"
    world.ask()
    assert head(world) == [
        "GET / HTTP/1.1",
        f"host: {host}",
        f"x-forwarded-for: {SOURCE_IP}",
        f"x-forwarded-host: {host}",
        "x-forwarded-proto: https",
        "connection: close",
    ]


def test_client_cannot_claim_another_address_or_host() -> None:
    world = World(echo)
    claims = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix")
    world.ask(headers=dict.fromkeys(claims, "evil") | {"X-Forwarded-Proto": "evil, http"})
    assert b"evil" not in world.agent.requests[0]
    assert "x-forwarded-proto: http" in head(world)


def test_hop_by_hop_headers_are_dropped() -> None:
    world = World(echo)
    names = (
        *("Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Expect"),
        *("X-Hop", "X-Other-Hop"),
    )
    world.ask(headers=dict.fromkeys(names, "x") | {"Connection": "close, x-hop , X-Other-Hop, Host", "Accept": "*/*"})
    assert got(world) == {"accept": "*/*"}
    assert head(world)[1].startswith("host: proxy")


@pytest.mark.parametrize(
    ("given", "sent"), [("caf\u00e9", b"caf\xe9"), ("\u20ac 5", b"\xe2\x82\xac 5"), ("\ud800", b"?")]
)
def test_header_is_sent_as_latin_1_or_else_as_utf_8(given: str, sent: bytes) -> None:
    world = World(echo)
    assert world.ask(headers={"X-Name": given}).status == 200
    assert b"\r\nx-name: " + sent + b"\r\n" in world.agent.requests[0]


def test_cookies_are_one_header() -> None:
    world = World(echo)
    world.ask(cookies=["a=1", "b=2"])
    assert got(world) == {"cookie": "a=1; b=2"}


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/", "", "/"),
        ("/a b/ä/%41?#;=", "", "/a%20b/%C3%A4/%2541%3F%23;="),
        ("/x\r\nEvil: 1", "", "/x%0D%0AEvil:%201"),
        ("/", "a=%20b&c=d+e%zz", "/?a=%20b&c=d+e%zz"),
        ("/", "a b\r\n#", "/?a%20b%0D%0A%23"),
    ],
)
def test_path_is_encoded_and_the_query_kept(path: str, query: str, target: str) -> None:
    world = World(echo)
    world.ask(path=path, query=query)
    assert head(world)[0] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("DELETE", None)])
def test_methods_with_a_body_have_a_length(method: str, length: str | None) -> None:
    world = World(echo)
    world.ask(method)
    assert got(world).get("content-length") == length
    assert head(world)[0] == f"{method} / HTTP/1.1"


def test_length_is_that_of_the_body() -> None:
    world = World(echo)
    assert world.ask("DELETE", body="ä", headers={"Content-Length": "9"}).body == "ä".encode()
    assert got(world) == {"content-length": "2"}


@pytest.mark.parametrize("headers", [{"X": "a\r\nb: c"}, {"X": "a\0"}, {"a b": "c"}])
def test_headers_that_would_become_others_are_400(headers: dict[str, str]) -> None:
    world = World(echo)
    assert world.ask(headers=headers).status == 400
    assert world.agent.got == []


def test_headers_over_10_kb_are_431() -> None:
    world = World(echo)
    assert world.ask(headers={"X": "x" * 9_900}).status == 200
    assert world.ask(headers={"X": "x" * 10_240}).status == 431
    assert len(world.agent.requests) == 1


def test_body_over_the_limit_is_413() -> None:
    world = World(echo)
    answer = world.ask("POST", body=bytes(http_messages.BODY_LIMIT + 1))
    assert (answer.status, TUNNEL in answer.text) == (413, True)
    assert world.agent.got == []


def test_upgrade_is_501_with_the_tunnel_command() -> None:
    world = World(echo)
    answer = world.ask(headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    assert (answer.status, TUNNEL in answer.text) == (501, True)
    assert world.agent.got == []


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


FRAMINGS: dict[str, tuple[bytes, int, bytes]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "more than its length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", 200, b"hi"),
    "until the end": (b"HTTP/1.0 404 Not Found\r\n\r\nuntil the end", 404, b"until the end"),
    "line feeds": (b"HTTP/1.1 200\nContent-Length: 2\n\nhi", 200, b"hi"),
    "chunks": (CHUNKED + b"2;x=y\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, b"hi0123456789"),
    "trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hi"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "100": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "103": (b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" * 2 + b"HTTP/1.1 200 OK\r\n\r\nhi", 200, b"hi"),
    "empty": (b"HTTP/1.1 200 OK\r\n\r\n", 200, b""),
}


@pytest.mark.parametrize(("response", "status", "body"), FRAMINGS.values(), ids=FRAMINGS)
def test_response_of_every_framing(response: bytes, status: int, body: bytes) -> None:
    answer = served(response=response)
    assert (answer.status, answer.body, answer.headers) == (status, body, OWN)


def test_response_can_come_in_single_bytes() -> None:
    response = CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"
    parts: list[Part] = [part for byte in response for part in (bytes([byte]), 0.003)]
    assert served(parts=parts).body == b"hi"


MALFORMED = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-dropbear\r\n",
    "incomplete body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
    "incomplete header": b"HTTP/1.1 200 OK\r\nContent-Type: text/pl",
    "incomplete head": b"HTTP/1.1 200 OK\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "continued status": b"HTTP/1.1 200 OK\r\n continued: 1\r\n\r\n",
    "control character": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "unknown encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "incomplete chunk": CHUNKED + b"2\r\nh",
    "no last chunk": CHUNKED + b"2\r\nhi\r\n",
    "chunk without length": CHUNKED + b"x\r\nhi\r\n0\r\n\r\n",
    "chunk of negative length": CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "only 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "600": b"HTTP/1.1 600 ?\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "long headers": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_241 + b"\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
}


@pytest.mark.parametrize("response", MALFORMED.values(), ids=MALFORMED)
def test_malformed_response_is_502(response: bytes) -> None:
    answer = served(response=response)
    assert (answer.status, answer.text) == (502, "The device's service sent an invalid or incomplete HTTP response.\n")
    assert answer.headers == {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}


@pytest.mark.parametrize(
    "response",
    [
        plain(bytes(45_001)),
        b"HTTP/1.1 200 OK\r\nContent-Length: 45001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(45_001),
        CHUNKED + b"afc9\r\n" + bytes(45_001),
        CHUNKED + b"1\r\n.\r\n" * 16_000,
    ],
    ids=["length", "only its length", "until the end", "chunk", "small chunks"],
)
def test_response_over_the_limit_is_502_with_the_tunnel_command(
    response: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_messages, "BODY_LIMIT", 45_000)
    answer = served(response=response)
    assert (answer.status, TUNNEL in answer.text) == (502, True)


def test_response_to_head_keeps_its_length() -> None:
    answer = served(response=b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\nETag: x\r\n\r\n", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == OWN | {"content-length": "5000000", "etag": "x"}


def test_response_headers_are_those_for_the_client() -> None:
    lines = [
        *("Content-Type: text/html", "Vary: A", "Vary: B", "X-Folded: a\r\n  b", "X-Empty:"),
        *("Date: Mon, 30 Nov 2026 00:00:00 GMT", "Connection: keep-alive, X-Hop", "Keep-Alive: 5", "X-Hop: 1"),
        *("Upgrade: h2c", "Trailer: x", "Proxy-Authenticate: x", "Proxy-Connection: x", "TE: x"),
    ]
    answer = served(response=plain(b"hi", *lines))
    assert answer.headers == OWN | {"content-type": "text/html", "vary": "A, B", "x-folded": "a b", "x-empty": ""}


def test_device_sets_its_own_policies() -> None:
    answer = served(response=plain(b"", "Referrer-Policy: origin", "X-Robots-Tag: all"))
    assert answer.headers == {"referrer-policy": "origin", "x-robots-tag": "all"}


def test_cookies_have_no_domain() -> None:
    lines = (
        "Set-Cookie: a=1; Path=/; Domain=example.com; Secure",
        "Set-Cookie: b=2; DOMAIN = .example.com",
        "Set-Cookie: domain=3; domain; HttpOnly",
    )
    answer = served(response=plain(b"", *lines))
    assert answer.cookies == ["a=1; Path=/; Secure", "b=2", "domain=3; HttpOnly"]
    assert answer.headers == OWN


def test_multipart_response_is_passed_on() -> None:
    answer = served(response=plain(b"--x--", "Content-Type: multipart/mixed; boundary=x"))
    assert (answer.status, answer.body) == (200, b"--x--")


def test_stream_that_the_service_leaves_open_is_reset() -> None:
    world = World(lambda _: [plain(b"hi"), 20.0])
    assert world.ask().body == b"hi"
    assert [message["why"] for message in world.sent("reset")] == ["closed"]
    assert world.agent.streams == {}


def test_response_before_the_end_of_the_request_is_returned() -> None:
    world = World(echo)
    world.agent.early = b"HTTP/1.1 413 No\r\n\r\n"
    assert world.ask("POST", body=bytes(20 * FRAME)).status == 413
    assert world.agent.requests == []
    assert [message["why"] for message in world.sent("reset")] == ["closed"]
    assert len(world.sent("data")) == 7


OTHER = "203.0.113.10"
ENDED = "This connection has ended, or you no longer have access to the device. Open a new one.\n"
UNKNOWN = "There is no connection at this host name. It may have ended. Open a new one.\n"


def slow(_: bytes) -> list[bytes | float]:
    """Respond after three seconds."""
    return [3.0, plain(b"hi")]


def operate(world: World, action: str) -> None:
    answer = admin("devices", "POST", f"devices/{identity.opaque(world.device)}/{action}", {"reason": "lost"})
    assert answer.status == 200


def test_request_changes_only_the_frames() -> None:
    world = World(echo)
    before = everything()
    world.ask("POST", body=b"x")
    after = everything()
    (frame,) = after.pop("FRAMES")
    assert before.pop("FRAMES") == []
    assert after == before
    assert 3500 < frame["expires_at"] - clock.seconds() <= 3605


@pytest.mark.parametrize("label", ["proxy" + "a" * 16, "PROXY" + "A" * 16])
def test_unknown_label_is_404(label: str) -> None:
    world = World(echo)
    before = everything()
    answer = world.ask(label=label)
    assert (answer.status, answer.text) == (404, UNKNOWN)
    assert answer.headers == {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    assert (world.agent.got, everything()) == ([], before)


@pytest.mark.parametrize("label", ["www", "", "proxy", "proxy" + "a" * 17, "port#1"])
def test_host_name_that_cannot_have_a_connection_is_404_without_a_read(label: str) -> None:
    world = World(echo)
    assert world.ask(headers={"host": f"{label}.proxy.example.com"}).status == 404
    assert world.round_trips == []
    assert not [item for item in stored(items.Table.BINDINGS) if item["pk"].startswith("attempts#")]


def test_label_is_read_in_any_case_and_with_a_port() -> None:
    world = World(echo)
    assert world.ask(headers={"host": f"{world.lease.label.upper()}.localhost:3000"}).status == 200


def test_guesses_are_throttled_per_network() -> None:
    world = World(echo)
    for _ in range(21):
        assert world.ask(label="proxy" + "a" * 16).status in (404, 429)
    answer = world.ask(label="proxy" + "a" * 16)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    (count,) = [item for item in stored(items.Table.BINDINGS) if item["pk"].startswith("attempts#label#")]
    assert count["failures"] == 21
    assert world.ask().status == 200, "a valid label is never throttled"
    assert world.ask(label="proxy" + "a" * 16, source_ip=OTHER).status == 404


def test_another_client_is_403() -> None:
    world = World(echo, client_ip="203.0.113.9")
    assert world.ask().status == 200
    answer = world.ask(source_ip=OTHER)
    assert (answer.status, answer.text) == (403, "This connection is for another IP address.\n")
    assert len(world.agent.requests) == 1


def test_first_client_keeps_the_connection() -> None:
    world = World(echo, client_ip=FIRST_CLIENT)
    assert [world.ask(source_ip=ip).status for ip in (OTHER, "203.0.113.9", OTHER)] == [200, 403, 200]
    assert item_at(items.connection(world.device, "ann"))["client_ip"] == OTHER


@pytest.mark.parametrize("kind", ["http", None])
def test_http_and_untyped_services_are_reached(kind: ServiceKind | None) -> None:
    assert World(echo, kind=kind).ask().status == 200


@pytest.mark.parametrize("kind", ["https", "ssh", "tcp"])
def test_other_services_are_501_with_the_tunnel_command(kind: ServiceKind) -> None:
    world = World(echo, kind=kind)
    answer = world.ask()
    assert (answer.status, world.agent.got) == (501, [])
    assert f"bindery tunnel {ADDRESS} --service {kind} --listen 8080" in answer.text


ENDS: dict[str, tuple[Callable[[World], Any], str]] = {
    "unbind": (lambda world: rufus.unbind(world.deviceid), ENDED),
    "user disabled": (lambda world: users.set_enabled("ann", False), ENDED),
    "account disabled": (lambda world: accounts.set_enabled("acme", False), ENDED),
    "address withdrawn": (lambda world: service_addresses.withdraw(ADDRESS), ENDED),
    "ban": (lambda world: operate(world, "ban"), "The device is banned.\n"),
    "inactive": (lambda world: operate(world, "deactivate"), "Connections to this device are disabled.\n"),
}
GONE: dict[str, Callable[[World], Any]] = {
    "stop": lambda world: leases.stop(world.device, "ann"),
    "unbind and bind": lambda world: [rufus.unbind(world.deviceid), rufus.bound()],
    "new connection": lambda world: world.connect(),
}
EVERY = {name: end for name, (end, _) in ENDS.items()} | GONE


@pytest.mark.parametrize("name", EVERY)
def test_access_that_has_ended_is_403_or_404_if_it_is_gone(name: str) -> None:
    world = World(echo)
    EVERY[name](world)
    answer = world.ask()
    expected = (404, UNKNOWN) if name in GONE else (403, ENDS[name][1])
    assert (answer.status, answer.text, world.agent.requests) == (*expected, [])


@pytest.mark.parametrize("name", EVERY)
def test_access_that_ends_during_a_request_is_403_within_a_second(name: str) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: EVERY[name](world))
    answer = world.ask()
    assert (answer.status, answer.text) == (403, ENDS.get(name, (None, ENDED))[1])
    assert 1.5 <= world.took < 2.6
    if name == "stop":
        assert [message["why"] for message in world.sent("reset")] == ["ended"]
        assert world.agent.streams == {}


def test_lease_that_expires_during_a_request_ends_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LEASE_SECONDS", "2")
    world = World(slow)
    assert world.ask().status == 403
    assert 1 <= world.took < 3


def test_access_is_checked_before_a_late_response_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    read = frames.read

    def slowly(stream: str, number: int) -> frames.Received:
        found = read(stream, number)
        if found.frames:
            with calls.unrecorded():
                leases.stop(world.device, "ann")
            world.time.sleep(1.0)
        return found

    monkeypatch.setattr(frames, "read", slowly)
    assert world.ask().status == 403


def test_access_is_checked_while_a_request_is_sent() -> None:
    world = World(echo)
    sent = world.agent.send

    def slowly(message: dict[str, Any]) -> None:
        world.time.after(0.9, lambda: sent(message))

    world.agent.send = slowly  # type: ignore[method-assign]
    world.time.at(1.5, lambda: leases.stop(world.device, "ann"))
    assert world.ask("POST", body=bytes(http_messages.BODY_LIMIT)).status == 403
    assert len(world.sent("data")) < 30


def fail(**_: Any) -> None:
    raise ConnectionFailed("EndpointConnectionError")


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_unreachable_table_is_503(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(echo)
    aws_calls.replace(monkeypatch, operation, fail)
    answer = world.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_throttled_key_range_is_503_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "TableReadKeyRangeThroughputExceeded"

    def throttle(**_: Any) -> None:
        raise aws_calls.error("ThrottlingException", throttlingReasons=[{"reason": why}])

    world = World(echo)
    warned: list[dict[str, Any]] = []
    monkeypatch.setattr(logger, "warning", lambda _, extra: warned.append(extra))
    aws_calls.replace(monkeypatch, "BatchGetItem", throttle)
    assert world.ask().status == 503
    assert [line["throttled"] for line in warned] == [why]


def test_table_that_becomes_unreachable_is_503_and_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: aws_calls.replace(monkeypatch, "Query", fail))
    assert world.ask().status == 503
    assert [message["why"] for message in world.sent("reset")] == ["closed"]


def test_internal_error_is_500_and_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(slow)
    world.time.at(1.5, lambda: monkeypatch.setattr(leases, "readmit", lambda *_: {}["secret inner text"]))
    answer = world.ask()
    assert (answer.status, answer.text) == (500, "Internal error.\n")
    assert [message["why"] for message in world.sent("reset")] == ["closed"]


def test_log_has_no_label_path_or_content(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(logger, "info", lambda message, extra: lines.append((message, extra)))
    world = World(echo)
    world.ask("POST", "/secret-path", query="secret-query", body=b"secret-body", headers={"x": "secret-header"})
    world.agent.connection.end()
    world.ask()
    logged = [extra for message, extra in lines if message == "relay.forward"]
    assert [(line["status"], line["reason"], line["Refused"]) for line in logged] == [
        (200, None, 0),
        (503, "device_offline", 1),
    ]
    text = json.dumps(lines)
    assert "secret-" not in text
    assert world.lease.label not in text
