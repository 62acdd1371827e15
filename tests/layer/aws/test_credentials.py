"""Credentials: from the environment, or from the endpoint of Lambda's runtime until they are due for replacement."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from bindery.aws import credentials
from bindery.aws.credentials import Credentials
from bindery.aws.errors import ConnectionFailed
from bindery.core import clock
from tests.layer.aws.conftest import CLIENTS, Start, dial, name_of
from tests.layer.aws.servers import Reply, Request, Server, correct, end, response, says

START = 1_795_996_800  # in seconds


def provided(key: str, expires: int, **changed: Any) -> Reply:
    members = {
        "AccessKeyId": key,
        "SecretAccessKey": f"secret of {key}",
        "Token": f"token of {key}",
        "Expiration": clock.iso(expires * 1000),
        **changed,
    }
    return says(response(json.dumps({name: value for name, value in members.items() if value is not None}).encode()))


@pytest.fixture
def at(environment: pytest.MonkeyPatch) -> list[int]:
    """Set the clock to the number in this list."""
    now = [START]
    environment.setattr(clock, "seconds", lambda: now[0])
    return now


@pytest.fixture
def endpoint(environment: pytest.MonkeyPatch, start: Start) -> Start:
    """Start an endpoint of credentials, as it is with SnapStart."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        environment.delenv(name, raising=False)
    environment.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer of-this-copy")

    def endpoint(*replies: Reply, **options: Any) -> Server:
        server = start(*replies, **options)
        environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/2021-04-23/credentials?of=role")
        return server

    return endpoint


@pytest.mark.parametrize("token", [None, "", "token"])
def test_keys_of_the_environment_are_used(environment: pytest.MonkeyPatch, token: str | None) -> None:
    environment.delenv("AWS_SESSION_TOKEN", raising=False)
    if token is not None:
        environment.setenv("AWS_SESSION_TOKEN", token)
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9")
    assert credentials.find() == Credentials("testing", "testing", token or None)
    environment.setenv("AWS_ACCESS_KEY_ID", "other")
    assert credentials.find().access_key == "other"


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("uri", [None, ""])
def test_missing_credentials_are_an_error(environment: pytest.MonkeyPatch, missing: str, uri: str | None) -> None:
    environment.delenv(missing)
    environment.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", raising=False)
    if uri is not None:
        environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)
    with pytest.raises(RuntimeError, match="no AWS credentials: neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_"):
        credentials.find()


def test_endpoint_gets_its_path_and_token(endpoint: Start, at: list[int]) -> None:
    server = endpoint(provided("KEY", START + 3600))
    assert credentials.find() == Credentials("KEY", "secret of KEY", "token of KEY")
    (request,) = server.requests
    assert request.head.startswith(b"GET /2021-04-23/credentials?of=role HTTP/1.1\r\n")
    assert request.header("authorization") == "Bearer of-this-copy"
    assert request.header("host") == f"127.0.0.1:{server.port}"
    server.wait()


def test_credentials_are_kept_until_they_are_due(endpoint: Start, at: list[int]) -> None:
    server = endpoint(provided("ONE", START + 3600), provided("TWO", START + 7200))
    found = []
    for now in (START, START + 3600 - credentials.REFRESH, START + 3601 - credentials.REFRESH, START + 3600):
        at[0] = now
        found.append(credentials.find().access_key)
    assert found == ["ONE", "ONE", "TWO", "TWO"]
    assert len(server.requests) == 2


def test_credentials_are_used_to_their_end_if_no_others_are_provided(endpoint: Start, at: list[int]) -> None:
    endpoint(provided("ONE", START + 3600), end, end)
    assert credentials.find().access_key == "ONE"
    at[0] = START + 3599
    assert credentials.find().access_key == "ONE"
    at[0] = START + 3600
    with pytest.raises(ConnectionFailed):
        credentials.find()


@pytest.mark.parametrize("kind", CLIENTS)
def test_new_credentials_sign_calls_after_the_old_ones_end(
    kind: str, endpoint: Start, environment: pytest.MonkeyPatch
) -> None:
    signed: list[str] = []
    keys = iter(["ONE", "TWO"])

    def both(connection: socket.socket, request: Request) -> None:
        if request.head.startswith(b"GET"):
            # The first ones end within the time in which they are replaced.
            key = next(keys)
            provided(key, clock.seconds() + {"ONE": 300, "TWO": 7200}[key])(connection, request)
        else:
            signed.append(str(request.header("authorization")).partition("Credential=")[2].partition("/")[0])
            assert request.header("x-amz-security-token") == f"token of {signed[-1]}"
            correct(connection, request)

    server = endpoint(reply=both)
    client = dial(kind)
    assert [name_of(client, name) for name in ("one", "two", "six")] == ["one", "two", "six"]
    assert signed[1:] == ["TWO", "TWO"]
    # botocore fetches others at once.
    assert signed[0] == {"direct": "ONE", "botocore": "TWO"}[kind]
    assert len(server.requests) == 5


def test_concurrent_callers_fetch_once(endpoint: Start, at: list[int]) -> None:
    asked, proceed = Event(), Event()

    def slow(connection: socket.socket, request: Request) -> None:
        asked.set()
        proceed.wait()
        provided("KEY", START + 3600)(connection, request)

    server = endpoint(slow)
    together = Barrier(8)

    def find() -> str:
        together.wait()
        return credentials.find().access_key

    with ThreadPoolExecutor(8) as threads:
        found = [threads.submit(find) for _ in range(8)]
        asked.wait()
        proceed.set()
        assert [future.result() for future in found] == ["KEY"] * 8
    assert len(server.requests) == 1


def test_endpoint_that_is_down_fails_the_call(
    environment: pytest.MonkeyPatch, endpoint: Start, pauses: list[float]
) -> None:
    server = endpoint()
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9")
    client = dial()
    with pytest.raises(ConnectionFailed):
        name_of(client, "one")
    assert (len(pauses), server.requests) == (2, [])


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(says(response(b"")), id="empty"),
        pytest.param(says(response(b"[]")), id="list"),
        pytest.param(says(response(b"<html>", "502 Bad Gateway")), id="HTML"),
        pytest.param(says(response(b'{"message": "no"}', "403 Forbidden")), id="refused"),
        pytest.param(provided("KEY", START + 3600, AccessKeyId=None), id="no key"),
        pytest.param(provided("KEY", START + 3600, SecretAccessKey=None), id="no secret"),
        pytest.param(provided("KEY", START + 3600, Token=None), id="no token"),
        pytest.param(provided("KEY", START + 3600, Expiration=None), id="no end"),
        pytest.param(provided("KEY", START + 3600, Expiration="soon"), id="unreadable end"),
        pytest.param(provided("KEY", START + 3600, Expiration=1), id="end as a number"),
    ],
)
def test_endpoint_without_credentials_is_called_again(reply: Reply, endpoint: Start, at: list[int]) -> None:
    server = endpoint(reply, provided("KEY", START + 3600))
    with pytest.raises(ConnectionFailed):
        credentials.find()
    assert credentials.find().access_key == "KEY"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/role", "http://example.com", "http://127.0.0.1.example.com", "http://0.0.0.0"]
)
def test_unencrypted_endpoint_must_be_local(endpoint: Start, environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    with pytest.raises(RuntimeError, match="AWS_CONTAINER_CREDENTIALS_FULL_URI is not a local address"):
        credentials.find()
