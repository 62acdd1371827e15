"""Requests to receivers, over real connections to loopback."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bindery.core import env
from bindery.core.errors import Reason, Refused
from bindery.feed import sending
from bindery.feed.sending import Error
from tests.layer.aws.authorities import Authority

Act = Callable[[socket.socket], None]

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(autouse=True)
def loopback(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WEBHOOKS_TO_LOOPBACK", "1")
    env.clear_cache()


@contextmanager
def receiver(act: Act, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Accept connections, read a request from each, and act. Yield the port and the requests."""
    requests: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connected, _ = listening.accept()
                with connected, suppress(OSError):
                    secured = connected if tls is None else tls.wrap_socket(connected, server_side=True)
                    with secured:
                        requests.append(_request(secured))
                        act(secured)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], requests
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def _request(connected: socket.socket) -> bytes:
    received = b""
    # 0x16 begins a TLS handshake.
    while not received.endswith(b"{}") and not received.startswith(b"\x16"):
        received += connected.recv(65536)
    return received


def answering(response: bytes) -> Act:
    return lambda connected: connected.sendall(response)


def post(url: str) -> sending.Outcome:
    return sending.post(url, {"webhook-id": "1"}, b"{}")


def test_request_is_a_plain_post_to_the_url() -> None:
    with receiver(answering(OK)) as (port, requests):
        outcome = post(f"http://127.0.0.1:{port}/a/b?c=d")
    assert (outcome.status, outcome.error, outcome.retry_after) == (204, None, None)
    assert requests == [
        f"POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Bindery\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\nwebhook-id: 1\r\n\r\n{}".encode()
    ]


@pytest.mark.parametrize(
    ("response", "status", "error", "retry_after"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, None, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 200, None, None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 \r\n\r\n", 500, None, None),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", 302, None, None),
        (b"HTTP/1.0 429 Slow\r\nRetry-After: 120\r\n\r\n", 429, None, 120),
        (b"HTTP/1.0 503 Busy\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n", 503, None, 0),
        (b"HTTP/1.0 503 Busy\r\nretry-after: soon\r\n\r\n", 503, None, None),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", None, Error.MALFORMED, None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None, Error.MALFORMED, None),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000, None, Error.MALFORMED, None),
        (b"", None, Error.MALFORMED, None),
    ],
)
def test_response_is_read_up_to_its_status(
    response: bytes, status: int | None, error: Error | None, retry_after: int | None
) -> None:
    with receiver(answering(response)) as (port, requests):
        assert post(f"http://127.0.0.1:{port}/")[:3] == (status, error, retry_after)
    assert len(requests) == 1


def test_long_body_is_read_only_in_part() -> None:
    sent: list[int] = []

    def endless(connected: socket.socket) -> None:
        connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        sent.extend(connected.send(b"x" * 65536) for _ in range(10_000))

    with receiver(endless) as (port, _):
        assert post(f"http://127.0.0.1:{port}/").status == 200
    assert len(sent) < 10_000


@pytest.mark.parametrize(
    ("parts", "status", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", 200, None),
        (b"HTTP/1.1 200 OK\r\nX: ", None, Error.TIMED_OUT),
        (b"", None, Error.TIMED_OUT),
    ],
)
def test_slow_response_is_cut_at_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, parts: bytes, status: int | None, error: Error | None
) -> None:
    monkeypatch.setattr(sending, "TIME_LIMIT", 0.5)
    ended = threading.Event()

    def trickle(connected: socket.socket) -> None:
        connected.sendall(parts)
        for _ in range(60):
            if ended.wait(0.05):
                break
            connected.sendall(b"x" if parts else b"")

    with receiver(trickle) as (port, _):
        outcome = post(f"http://127.0.0.1:{port}/")
        ended.set()
    assert (outcome.status, outcome.error) == (status, error)


def test_certificate_must_be_of_the_host_and_of_a_known_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "known")
    monkeypatch.setattr(sending, "resolve", lambda host, port: ["127.0.0.1"])
    monkeypatch.setattr(sending, "_context", lambda: ssl.create_default_context(cafile=authority.bundle))
    with receiver(answering(OK), authority.server(hosts=["crm.example.com"])) as (port, requests):
        assert post(f"https://crm.example.com:{port}/").status == 204
        assert post(f"https://other.example.com:{port}/").error is Error.TLS
        monkeypatch.setattr(sending, "_context", ssl.create_default_context)
        assert post(f"https://crm.example.com:{port}/").error is Error.TLS
    assert len(requests) == 1


def test_port_without_tls_or_without_a_server_is_an_error() -> None:
    with receiver(answering(OK)) as (port, _):
        assert post(f"https://127.0.0.1:{port}/").error is Error.TLS
    assert post(f"http://127.0.0.1:{port}/").error is Error.UNREACHABLE


def test_second_address_is_tried_if_the_first_does_not_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "resolve", lambda host, port: ["127.0.0.2", "127.0.0.1"])
    with receiver(answering(OK)) as (port, _):
        assert post(f"http://localhost:{port}/").status == 204


def test_address_that_became_private_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8"])
    sending.check("https://crm.example.com/")
    monkeypatch.setenv("WEBHOOKS_TO_LOOPBACK", "")
    env.clear_cache()
    with receiver(answering(OK)) as (port, requests):
        monkeypatch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8", "127.0.0.1"])
        assert post(f"https://crm.example.com:{port}/").error is Error.NOT_PUBLIC
        assert post(f"https://127.0.0.1:{port}/").error is Error.NOT_PUBLIC
    assert requests == []


def test_host_without_address_or_with_a_slow_look_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(sending, "resolve", unknown)
    assert post("https://nowhere.example.com/").error is Error.UNRESOLVED
    ended = threading.Event()
    monkeypatch.setattr(sending, "resolve", lambda host, port: ended.wait() and [])
    monkeypatch.setattr(sending, "TIME_LIMIT", 0.1)
    assert post("https://slow.example.com/").error is Error.TIMED_OUT
    ended.set()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
        *("192.0.2.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "2001:0:7f00:1::1", "100::1"),
        "192.0.0.170",
    ],
)
def test_address_that_is_not_public_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sending.is_public(address)
    if not ipaddress.ip_address(address).is_loopback:
        monkeypatch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8", address])
        with pytest.raises(Refused) as refused:
            sending.check("https://crm.example.com/")
        assert refused.value.detail["detail"] == "the host has an address that is not public"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"])
def test_public_address_is_accepted(address: str) -> None:
    assert sending.is_public(address)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("ftp://crm.example.com/", "must begin with https://"),
        ("crm.example.com/hook", "must begin with https://"),
        ("https://user@crm.example.com/", "must not contain a user name or password"),
        ("https://crm.example.com/#top", "must not have a fragment (#)"),
        ("https:///hook", "has no valid host or port"),
        ("https://crm.example.com:0/", "has no valid host or port"),
        ("https://crm.exa\u0438ple.com/", "must be at most 2048 ASCII characters without spaces; encode others"),
        ("https://crm.example.com/a b", "must be at most 2048 ASCII characters without spaces; encode others"),
        ("https://crm.example.com/\r\nx: y", "must be at most 2048 ASCII characters without spaces; encode others"),
        ("https://crm.example.com:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("http://crm.example.com/", "must begin with https://, unless its host is this machine (localhost)"),
        ("https://crm_$.example.com/", "has no valid host or port"),
    ],
)
def test_url_that_cannot_be_used_is_refused(url: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "resolve", lambda host, port: ["8.8.8.8"])
    with pytest.raises(Refused) as refused:
        sending.check(url)
    assert (refused.value.reason, refused.value.detail) == (Reason.INVALID, {"at": "url", "detail": wrong})
