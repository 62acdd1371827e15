"""Invocations of Lambda functions, with either client."""

import json
from typing import Any

import pytest

from bindery.aws.errors import ConnectionFailed, ServiceError
from tests import aws_calls
from tests.layer.aws.conftest import Start
from tests.layer.aws.servers import response, says

pytestmark = pytest.mark.parametrize("setting", ["direct", "botocore"])

REQUEST = {"FunctionName": "bindery-1a2b3c4d-rufus-bind_device", "Qualifier": "live", "Payload": b'{"version": "2.0"}'}
URL = "/2015-03-31/functions/bindery-1a2b3c4d-rufus-bind_device/invocations?Qualifier=live"


@pytest.fixture
def client(setting: str, start: Start, environment: pytest.MonkeyPatch) -> Any:
    """Return a function that starts a server and returns it with a client."""

    def made(*replies: Any) -> Any:
        server = start(*replies)
        environment.setenv("AWS_CLIENT", setting)
        return server, aws_calls._create("lambda")

    return made


def test_function_is_invoked_and_its_payload_returned(client: Any, environment: pytest.MonkeyPatch) -> None:
    server, made = client(says(lambda request: response(b'{"statusCode": 200}')))
    answer = made.call("Invoke", **REQUEST)
    assert json.loads(answer["Payload"].read()) == {"statusCode": 200}
    assert not answer.get("FunctionError")
    made.close()
    (request,) = server.requests
    assert request.head.startswith(f"POST {URL} HTTP/1.1\r\n".encode())
    assert request.body == REQUEST["Payload"]


def test_failed_function_is_reported(client: Any) -> None:
    _, made = client(says(lambda request: response(b"{}", "200 OK", "X-Amz-Function-Error: Unhandled")))
    assert made.call("Invoke", **REQUEST)["FunctionError"] == "Unhandled"
    made.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (response(b"{}", "429 Too Many", "x-amzn-errortype: TooManyRequestsException"), "TooManyRequestsException"),
        (b"", "Connection"),
    ],
    ids=["refused", "lost"],
)
def test_failed_invocation_is_not_repeated(client: Any, reply: bytes, error: str) -> None:
    server, made = client(says(reply, close=True))
    with pytest.raises((ServiceError, ConnectionFailed), match=error):
        made.call("Invoke", **REQUEST)
    made.close()
    assert len(server.requests) == 1
