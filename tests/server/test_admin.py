"""Signature checks on the local server's IAM routes, and the signer in the event."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.server.servers import Server, serving
from tests.server.test_events import Stub
from tools.local.gateway import Gateway
from tools.local.signatures import Operator
from tools.template import Route

OPERATOR = Operator("LOCALKEY", "its secret")
THINGS = (Route("ANY", "/admin/v1/things", iam=True), Route("ANY", "/admin/v1/things/{proxy+}", iam=True))
ECHO = Stub("Things", "echo", THINGS, {}, ())
BODY = b'{"a":"\xc3\xa4"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Gateway([ECHO], OPERATOR)) as url:
        yield url


def signed(
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    by: Operator = OPERATOR,
    region: str = "eu-central-1",
    service: str = "execute-api",
    late: int = 0,
) -> dict[str, str]:
    """Return the headers of a request that botocore signed `late` seconds ago."""
    request = AWSRequest(method, url, dict(headers or {}), body)
    moment = datetime.now(UTC) - timedelta(seconds=late)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(Credentials(by.access_key_id, by.secret_access_key), service, region).add_auth(request)
    return dict(request.headers.items())


def send(url: str, method: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, Any]:
    answer = httpx.request(method, url, headers=dict(headers), content=body, verify=False)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("path", "key", "parameters"),
    [
        ("/admin/v1/things", "ANY /admin/v1/things", None),
        ("/admin/v1/things?b=2&a=%C3%A4%20x&b=1&c", "ANY /admin/v1/things", None),
        ("/admin/v1/things/7/ban", "ANY /admin/v1/things/{proxy+}", {"proxy": "7/ban"}),
        (
            "/admin/v1/things/a%20b%2Fc%C3%A4+@:~/d",
            "ANY /admin/v1/things/{proxy+}",
            {"proxy": "a b/cä+@:~/d"},
        ),
    ],
)
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", BODY), ("DELETE", b""), ("PUT", b"\xff" * 9000)])
def test_signed_request_passes_the_signer_to_the_function(
    url: str, method: str, body: bytes, path: str, key: str, parameters: dict[str, str] | None
) -> None:
    status, event = send(url + path, method, signed(method, url + path, body=body, headers=JSON), body)
    assert status == 200
    assert event["routeKey"] == event["requestContext"]["routeKey"] == key
    assert event.get("pathParameters") == parameters
    assert event["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "LOCALKEY",
            "accountId": "000000000000",
            "callerId": "AIDALOCALOPERATOR",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::000000000000:user/local-operator",
            "userId": "AIDALOCALOPERATOR",
        }
    }


@pytest.mark.parametrize(
    "how",
    [
        {"by": Operator("LOCALKEY", "another secret")},
        {"by": Operator("ANOTHER", "its secret")},
        {"region": "eu-west-1"},
        {"service": "s3"},
        {"late": 310},
        {"late": -310},
        {"body": BODY + b" "},
        {"method": "PUT"},
        {"path": "/admin/v1/things/2"},
        {"path": "/admin/v1/things/1?a=1"},
    ],
    ids=str,
)
def test_signature_of_a_different_request_is_403(url: str, how: dict[str, Any]) -> None:
    made = {"method": "POST", "path": "/admin/v1/things/1", "body": BODY, **how}
    headers = signed(made.pop("method"), url + made.pop("path"), **made)
    assert send(f"{url}/admin/v1/things/1", "POST", headers, BODY) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize("late", [290, -290])
def test_clock_skew_of_minutes_is_accepted(url: str, late: int) -> None:
    headers = signed("GET", f"{url}/admin/v1/things", late=late)
    assert send(f"{url}/admin/v1/things", "GET", headers)[0] == 200


@pytest.mark.parametrize(
    "change",
    [
        {"Authorization": None},
        {"X-Amz-Date": None},
        {"X-Amz-Date": "yesterday"},
        {"X-Amz-Date": "20260229T000000Z"},
        {"X-Amz-Security-Token": "unsigned"},
        {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"},
        {"Authorization": ""},
        {"Authorization": "Bearer x"},
        {"Authorization": "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=" + "0" * 64},
        {"X-Signed": "2"},
    ],
    ids=str,
)
def test_request_changed_after_signing_is_403(url: str, change: dict[str, str | None]) -> None:
    headers = signed("GET", f"{url}/admin/v1/things", headers={"X-Signed": "1"}) | change
    kept = {name: value for name, value in headers.items() if value is not None}
    assert send(f"{url}/admin/v1/things", "GET", kept) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize(("claimed", "status"), [("UNSIGNED-PAYLOAD", 403), ("0" * 64, 403)])
def test_body_hash_claimed_by_the_sender_is_verified(url: str, claimed: str, status: int) -> None:
    headers = signed("POST", f"{url}/admin/v1/things", body=BODY, headers={"X-Amz-Content-SHA256": claimed})
    assert send(f"{url}/admin/v1/things", "POST", headers, BODY)[0] == status


def test_host_header_must_be_signed(url: str) -> None:
    class Hostless(SigV4Auth):
        def headers_to_sign(self, request: Any) -> Any:
            chosen = super().headers_to_sign(request)
            del chosen["host"]
            return chosen

    request = AWSRequest("GET", f"{url}/admin/v1/things")
    Hostless(Credentials(OPERATOR.access_key_id, OPERATOR.secret_access_key), "execute-api", "eu-central-1").add_auth(
        request
    )
    assert send(f"{url}/admin/v1/things", "GET", dict(request.headers.items()))[0] == 403


def test_no_signature_is_accepted_without_an_operator() -> None:
    with serving(Gateway([ECHO])) as url:
        assert send(f"{url}/admin/v1/things", "GET", signed("GET", f"{url}/admin/v1/things"))[0] == 403


def test_key_pair_is_written_only_to_the_state_folder(server: Server) -> None:
    found = json.loads((server.state / "admin.json").read_text())
    assert found == {
        "endpoint": server.url,
        "region": "eu-central-1",
        "access_key_id": server.environment["BINDERY_ACCESS_KEY_ID"],
        "secret_access_key": server.environment["BINDERY_SECRET_ACCESS_KEY"],
    }
    assert found["secret_access_key"] not in "".join(server.output)
    url = f"{server.url}/admin/v1/accounts"
    by = Operator(found["access_key_id"], found["secret_access_key"])
    status, page = send(url, "GET", signed("GET", url, by=by))
    assert status == 200
    assert {"demo", "demo-other"} <= {account["account"] for account in page["items"]}
    assert send(url, "GET", {}) == (403, {"message": "Forbidden"})
