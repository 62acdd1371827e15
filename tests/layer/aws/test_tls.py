"""TLS: which certificates are accepted, from which bundle of authorities."""

import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from select import select
from threading import Event

import pytest

from bindery.aws import connections
from bindery.aws.errors import ConnectionFailed
from tests.layer.aws.authorities import Authority, self_signed
from tests.layer.aws.conftest import CLIENTS, Start, dial, name_of

every_client = pytest.mark.parametrize("kind", CLIENTS)


@pytest.fixture
def amazon(tmp_path: Path, environment: pytest.MonkeyPatch) -> Authority:
    """Make an authority whose certificate is in the bundle of Amazon's roots. No other authority is known."""
    authority = Authority(tmp_path, "amazon-roots")
    environment.setenv("AWS_DATA_PATH", str(tmp_path))
    environment.delenv("AWS_CA_BUNDLE", raising=False)
    environment.setenv("SSL_CERT_FILE", os.devnull)
    environment.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return authority


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


def failure(client: object) -> BaseException | None:
    with pytest.raises(ConnectionFailed) as caught:
        name_of(client, "one")
    return caught.value.__cause__


FAULTS: dict[str, Callable[[Authority, Path], ssl.SSLContext]] = {
    "wrong host": lambda authority, _: authority.server(hosts=["dynamodb.eu-central-1.amazonaws.com", "127.0.0.1"]),
    "expired": lambda authority, _: authority.server(expired=True),
    "self-signed": lambda _, folder: self_signed(folder),
    "unknown authority": lambda _, folder: Authority(folder, "unknown").server(),
}
"""Settings of a server with an invalid certificate. The authority is in the bundle."""


@every_client
def test_authority_of_the_bundle_is_accepted(
    kind: str, other: Authority, environment: pytest.MonkeyPatch, start: Start
) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(other.bundle))
    server = start(tls=other.server())
    client = dial(kind)
    assert [name_of(client, name) for name in ("one", "two")] == ["one", "two"]
    assert server.connections == 1


@pytest.mark.parametrize("bundle", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("fault", FAULTS)
def test_invalid_certificate_is_refused(
    bundle: str,
    fault: str,
    amazon: Authority,
    other: Authority,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    start: Start,
) -> None:
    environment.setenv(bundle, str(other.bundle))
    server = start(tls=FAULTS[fault](other, tmp_path))
    assert isinstance(failure(dial()), ssl.SSLCertVerificationError)
    assert server.requests == []


def test_botocore_refuses_an_unknown_authority(
    other: Authority, tmp_path: Path, environment: pytest.MonkeyPatch, start: Start
) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(other.bundle))
    server = start(tls=Authority(tmp_path, "unknown").server())
    failure(dial("botocore"))
    assert server.requests == []


def test_certificate_of_amazon_is_accepted_at_once(amazon: Authority, start: Start) -> None:
    server = start(tls=amazon.server())
    client = dial()
    assert name_of(client, "one") == "one"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("hosts", "url"),
    [(["example.com", "127.0.0.1"], "https://localhost"), (["localhost", "127.0.0.2"], "https://127.0.0.1")],
)
def test_wrong_host_is_refused_without_fallback(
    amazon: Authority, hosts: list[str], url: str, environment: pytest.MonkeyPatch, start: Start
) -> None:
    # Another bundle would not change the result.
    environment.setenv("SSL_CERT_FILE", str(amazon.bundle))
    server = start(tls=amazon.server(hosts=hosts))
    environment.setenv("AWS_ENDPOINT_URL", f"{url}:{server.port}")
    client = dial()
    cause = failure(client)
    assert isinstance(cause, ssl.SSLCertVerificationError)
    assert "mismatch" in cause.verify_message or "doesn't match" in cause.verify_message
    server.wait()
    assert (server.connections, server.requests) == (3, [])


def test_authority_of_the_default_bundle_is_remembered(
    amazon: Authority, other: Authority, environment: pytest.MonkeyPatch, start: Start
) -> None:
    environment.setenv("SSL_CERT_FILE", str(other.bundle))
    server = start(tls=other.server())
    client = dial()
    assert name_of(client, "one") == "one"
    # The first connection was refused with Amazon's roots.
    assert [request.connection for request in server.requests] == [2]
    client.close()
    assert name_of(client, "two") == "two"
    assert [request.connection for request in server.requests] == [2, 3]


def test_bundle_of_the_environment_replaces_amazons_roots(
    amazon: Authority, other: Authority, environment: pytest.MonkeyPatch, start: Start
) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(other.bundle))
    server = start(tls=amazon.server())
    failure(dial())
    assert server.requests == []


def test_missing_bundle_fails_the_connection(tmp_path: Path, environment: pytest.MonkeyPatch, start: Start) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    start(tls=self_signed(tmp_path))
    assert isinstance(failure(dial()), FileNotFoundError)


def test_server_that_does_not_greet_is_a_time_out(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(connections, "CONNECT_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        environment.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{listening.getsockname()[1]}")
        assert isinstance(failure(dial()), TimeoutError)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_connection_made_ahead_is_used(
    version: ssl.TLSVersion, other: Authority, environment: pytest.MonkeyPatch, start: Start
) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(other.bundle))
    context = other.server()
    context.minimum_version = context.maximum_version = version
    server = start(tls=context)
    client = dial()
    client.connect()
    (made,) = client._connections._idle
    if version is ssl.TLSVersion.TLSv1_3:
        # The server's session tickets have arrived.
        select([made._socket], [], [])
    assert [name_of(client, name) for name in ("one", "two")] == ["one", "two"]
    assert server.connections == 1


def test_connection_closed_after_its_tickets_is_not_used(
    other: Authority, environment: pytest.MonkeyPatch, start: Start, pauses: list[float]
) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(other.bundle))
    ended = Event()

    def greet(connection: socket.socket, number: int) -> None:
        if number == 1:
            connection.shutdown(socket.SHUT_RDWR)
            ended.set()

    server = start(tls=other.server(), greet=greet)
    client = dial()
    client.connect()
    ended.wait()
    assert name_of(client, "one") == "one"
    assert [request.connection for request in server.requests] == [2]
    assert pauses == []


def test_certificates_of_the_current_folder_are_not_trusted(
    environment: pytest.MonkeyPatch, amazon: Authority, tmp_path: Path
) -> None:
    environment.chdir(tmp_path)
    environment.delenv("AWS_DATA_PATH", raising=False)
    assert connections._amazon_roots() is None
    environment.setenv("AWS_DATA_PATH", str(tmp_path))
    assert connections._amazon_roots() == str(amazon.bundle)
