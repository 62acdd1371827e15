"""link: messages from devices, and the server's answers."""

import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.errors import ConnectionFailed
from bindery.core.errors import HotKey, Reason, Refused
from tests import device_link, rufus
from tests.device_link import Connection, connected
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

HELLO: dict[str, Any] = {"type": "hello", "v": 1, "services": ["http"], "internal_ip": "192.168.1.7"}


@pytest.fixture
def connection(registry: None) -> Connection:
    rufus.install()
    return connected(rufus.bound())


@pytest.mark.parametrize(
    "changes",
    [{}, {"services": []}, {"services": ["a" * 32] * 16}, {"internal_ip": None}, {"later": {"any": "member"}}],
    ids=str,
)
def test_valid_hello_is_welcomed(changes: dict[str, Any], connection: Connection) -> None:
    connection.send(HELLO | changes)
    (answer,) = connection.received
    assert answer["type"] == "welcome"
    assert connection.is_open


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "[]", "null", "{}", '{"type":1}', '{"type":null}', "[" * 100_000),
        *(
            json.dumps(HELLO | changes)
            for changes in (
                *({"v": 2}, {"v": "1"}, {"v": True}, {"v": None}),
                *({"services": "http"}, {"services": ["HTTP"]}, {"services": [""]}, {"services": ["-a"]}),
                *({"services": ["a" * 33]}, {"services": ["http"] * 17}, {"services": ["http\n"]}, {"services": [1]}),
                *({"internal_ip": 1}, {"internal_ip": "1" * 46}),
            )
        ),
        '{"type":"hello"}',
    ],
    ids=lambda text: text[:80],
)
def test_invalid_message_ends_the_connection(text: str, connection: Connection) -> None:
    connection.send(text)
    assert connection.received == [{"type": "bye", "why": "invalid", "after": 60}]
    assert not connection.is_open


def test_unknown_type_is_refused_and_changes_nothing(connection: Connection) -> None:
    before = everything()
    connection.send({"type": "x" * 100})
    assert connection.received == [{"type": "refused", "why": f"unknown type: {'x' * 32}"}]
    assert connection.is_open
    assert everything() == before


def test_message_to_a_closed_connection_is_not_a_failure(connection: Connection) -> None:
    device_link.gateway().open.clear()
    connection.send(HELLO)
    assert connection.received == []


def test_throttled_key_range_is_a_warning_and_keeps_the_connection(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise HotKey(Reason.UNAVAILABLE, "TableReadKeyRangeThroughputExceeded")

    monkeypatch.setattr(dynamodb, "get_many", fail)
    connection.send(HELLO)
    assert connection.received == [{"type": "refused", "why": "too many messages at once: send it again later"}]
    assert connection.is_open
    warning, line = caplog.records
    assert (warning.levelname, warning.throttled) == ("WARNING", "TableReadKeyRangeThroughputExceeded")
    assert line.levelname == "INFO"


def test_unreachable_management_api_is_a_failure(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionFailed("EndpointConnectionError")

    monkeypatch.setattr(device_link.Gateway, "call", fail)
    with pytest.raises(Refused) as raised:
        connection.send(HELLO)
    assert raised.value.reason == "unavailable"
