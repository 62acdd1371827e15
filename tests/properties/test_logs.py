"""No log contains a credential, password, share code, deviceid or key, whatever the outcome of the request."""

import base64
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bindery.aws.errors import ConnectionFailed
from bindery.http import operation
from tests import aws_calls
from tests.http_api import Response, invoke
from tests.properties import world
from tests.properties.staging import Stage, columns
from tests.properties.world import Event

SHOWN = (
    *("deviceid", "token_session", "authKey", "token", "auth_token", "service_authhash", "shareCode", "connectionid"),
    "proxy",
)
"""Response fields that hold a credential, or reveal the network location of a connection."""

LINE = {
    *("level", "message", "timestamp", "request_id", "status"),
    *("dialect", "operation", "Latency", "Refused", "_aws"),
}
"""Fields of a request's log line. A refused request also has `reason`."""


class Log:
    """The log of the functions and of all libraries."""

    def __init__(self, others: pytest.LogCaptureFixture) -> None:
        self.own, self.others = io.StringIO(), others

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.own.getvalue().splitlines()]

    def text(self) -> str:
        return self.own.getvalue() + self.others.text


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Log:
    watched = Log(caplog)
    monkeypatch.setattr(operation.logger.registered_handler, "stream", watched.own)
    caplog.set_level(logging.INFO)
    return watched


def sent(event: Event) -> Iterator[str]:
    """Yield every value of a request that its caller chose: headers, path, query and body."""
    yield from (event["headers"][name] for name in world.CREDENTIALS if name in event["headers"])
    yield from (event.get("pathParameters") or {}).values()
    yield from (value for _, value in parse_qsl(event["rawQueryString"]))
    if event.get("body"):
        body = base64.b64decode(event["body"]).decode() if event["isBase64Encoded"] else event["body"]
        given = json.loads(body) if body.lstrip().startswith("{") else dict(parse_qsl(body))
        yield from map(str, given.values())


def shown(answer: Any) -> Iterator[str]:
    """Yield every secret in a response."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            secret = name in SHOWN or (name == "data" and isinstance(value, str))
            yield from [value] if secret and isinstance(value, str) and value else shown(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from shown(value)


def told(log: Log, *secrets: str) -> list[str]:
    # Shorter values may occur by chance: a page number, a platform.
    return [secret for secret in secrets if len(secret) >= 6 and secret in log.text()]


def body_of(answer: Response) -> Any:
    return json.loads(answer.body or "null")


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_request_logs_one_line_without_its_values(name: str, stage: Callable[[str, str], Stage], log: Log) -> None:
    staged = stage(name, columns(name)[0])
    request = staged.request()
    prepared = len(log.lines())
    answer = invoke(name, request)
    (line,) = log.lines()[prepared:]
    assert set(line) == LINE
    assert (line["message"], line["status"]) == (name, answer.status)
    earlier = [secret for made in staged.here.answers.values() for secret in shown(body_of(made))]
    secrets = [*sent(request), *shown(body_of(answer)), *earlier, world.PASSWORD, staged.here.secret]
    assert told(log, *secrets) == []


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_refused_request_logs_one_line_without_its_values(
    name: str, stage: Callable[[str, str], Stage], log: Log
) -> None:
    """Secrets are in the wrong fields, and no field has a valid credential."""
    staged = stage(name, columns(name)[0])
    request = staged.request()
    canary = "canary-of-a-secret-0123456789"
    headers = request["headers"] | dict.fromkeys(world.CREDENTIALS, canary)
    prepared = len(log.lines())
    invoke(name, request | {"headers": headers})
    hostile = request | {
        "pathParameters": dict.fromkeys(request.get("pathParameters") or {}, canary),
        "rawQueryString": f"{canary}={canary}&pk={canary}&dk={canary}&sn={canary}&shareCode={canary}",
    }
    invoke(name, hostile | {"body": json.dumps(dict.fromkeys(["model", canary], canary)), "isBase64Encoded": False})
    invoke(name, hostile | {"body": "{" + canary, "isBase64Encoded": False})
    lines = log.lines()[prepared:]
    assert len(lines) == 3
    assert all(set(line) - {"reason"} == LINE for line in lines)
    assert told(log, canary, *sent(request)) == []


@pytest.mark.parametrize("name", world.OPERATIONS)
@pytest.mark.parametrize("broken", ["out of reach", "a bug"])
def test_internal_error_is_logged_without_secrets(
    name: str, broken: str, stage: Callable[[str, str], Stage], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = stage(name, columns(name)[0])
    request = staged.request()
    bug = aws_calls.error("ValidationException")
    error = ConnectionFailed("EndpointConnectionError") if broken == "out of reach" else bug

    def fail(**_: Any) -> None:
        raise error

    for method in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "TransactWriteItems"):
        with monkeypatch.context() as patch:
            aws_calls.replace(patch, method, fail)
            invoke(name, request)
    assert told(log, *sent(request), world.PASSWORD, staged.here.secret) == []
