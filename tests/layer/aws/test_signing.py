"""Signatures equal those of botocore, for random requests."""

import random
import string
from datetime import UTC, datetime
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from bindery.aws import direct, signing
from bindery.aws.credentials import Credentials
from tests.layer.aws.conftest import Start

SECRET = string.ascii_letters + string.digits + "+/="
TEXT = string.printable + "äß漢字🦆\u2028\x00"
PATHS = ("/", "/credential", "/a/b", "/a/b/", "/a.b/~c/d-e_f", "/.well-known")
HOSTS = ("dynamodb.eu-central-1.amazonaws.com", "127.0.0.1:8000", "[::1]:8000", "localhost", "proxy.example:65535")


def some(chance: random.Random, letters: str, least: int, most: int) -> str:
    return "".join(chance.choices(letters, k=chance.randint(least, most)))


def fields(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line and the headers of a request's head."""
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].decode().split("\r\n")
    headers = dict(line.split(":", 1) for line in lines)
    assert len(headers) == len(lines)
    return first, headers


def moment_of(headers: dict[str, str]) -> float:
    return datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def signed_by_botocore(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    headers: dict[str, str],
    body: bytes,
    moment: float,
    *given: Any,
    method: str = "POST",
) -> str:
    now = datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    credentials, service, region = given
    request = AWSRequest(method, url, headers, body)
    botocore.auth.SigV4Auth(BotocoreCredentials(*credentials), service, region).add_auth(request)
    authorization: str = request.headers["Authorization"]
    return authorization


@pytest.mark.parametrize("service", direct.SERVICES)
@pytest.mark.parametrize("seed", range(2))
def test_signature_equals_that_of_botocore(monkeypatch: pytest.MonkeyPatch, service: str, seed: int) -> None:
    chance = random.Random(f"{service} {seed}")
    for _ in range(500):
        credentials = Credentials(
            some(chance, string.ascii_uppercase + string.digits, 16, 24),
            some(chance, SECRET, 1, 80),
            chance.choice([None, some(chance, SECRET, 1, 1500)]),
        )
        region = f"{some(chance, string.ascii_lowercase, 2, 9)}-{chance.randint(1, 9)}"
        host, path = chance.choice(HOSTS), chance.choice(PATHS)
        body = some(chance, TEXT, 0, 300).encode()
        moment = chance.uniform(0, 4e9)
        known = direct.SERVICES[service]
        head = signing.head(
            credentials=credentials,
            region=region,
            service=service,
            host=host,
            path=path,
            content_type=known.content_type,
            target=f"{known.target}.{some(chance, string.ascii_letters, 1, 30)}",
            query=(query := chance.choice(["", "Qualifier=live"])),
            body=body,
            moment=moment,
        )
        first, headers = fields(head)
        url = f"{path}?{query}" if query else path
        assert first == f"POST {url} HTTP/1.1"
        assert headers["content-length"] == str(len(body))
        sent = {name: value for name, value in headers.items() if name not in ("authorization", "content-length")}
        expected = signed_by_botocore(
            monkeypatch, f"https://{host}{url}", dict(sent), body, moment, credentials, service, region
        )
        assert headers["authorization"] == expected
        # Everything but the length is signed.
        assert f"SignedHeaders={';'.join(sorted(sent))}," in expected


@pytest.mark.parametrize("service", direct.SERVICES)
@pytest.mark.parametrize("path", ["", "/a/b"])
@pytest.mark.parametrize("token", ["", "token/of+the=session"])
def test_request_is_sent_as_it_was_signed(
    service: str, path: str, token: str, environment: pytest.MonkeyPatch, start: Start
) -> None:
    server = start()
    environment.setenv("AWS_ENDPOINT_URL", server.url + path)
    environment.setenv("AWS_SESSION_TOKEN", token)
    client = direct.Client(service)
    client.call("GetItem", Text="äß漢字🦆\n")
    client.close()
    (request,) = server.requests
    _, headers = fields(request.head)
    moment = moment_of(headers)
    sent = {name: value for name, value in headers.items() if name not in ("authorization", "content-length")}
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert sent.get("x-amz-security-token", "") == token
    assert headers["authorization"] == signed_by_botocore(
        environment,
        server.url + (path or "/"),
        dict(sent),
        request.body,
        moment,
        ("testing", "testing", token or None),
        service,
        "eu-central-1",
    )
    assert abs(moment - datetime.now(UTC).timestamp()) < 3600
