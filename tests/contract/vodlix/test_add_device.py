import json
from typing import NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bindery.aws.dynamodb import Table
from bindery.directory import settings
from bindery.registry import devices
from bindery.vodlix import video_devices
from tests import calls
from tests.concurrency.races import before
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

SAMPLE = {
    "mac_address": "A1B2C3D4E5F6",
    "device_os": "iOS",
    "device_version": "14.5",
    "device_type": "Mobile",
    "app_version": "2.0",
    "app_name": "MyApp",
}
ADD = event("POST", "/api/v2/device", body=json.dumps(SAMPLE))


def add() -> Response:
    return invoke("vodlix.add_device", ADD)


def unreachable() -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://secret.internal")


def broken() -> NoReturn:
    raise ZeroDivisionError("secret inner text")


def test_device_banned_after_the_read_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    video_devices.add(**(SAMPLE | {"app_name": "first"}))
    before(monkeypatch, "update_item", lambda: devices.ban("vodlix#A1B2C3D4E5F6", "stolen"))
    assert add().json()["error_code"] == "device_banned"
    (device,) = stored(Table.DEVICES)
    assert (device["app_name"], device["ban_reason"]) == ("first", "stolen")


def test_last_of_two_concurrent_adds_is_stored_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {name: f"their {name}" for name in SAMPLE} | {"mac_address": "a1-b2-c3-d4-e5-f6"}
    before(monkeypatch, "update_item", lambda: video_devices.add(**theirs))
    assert add().status == 200
    (device,) = stored(Table.DEVICES)
    assert SAMPLE.items() - device.items() == {("mac_address", "A1B2C3D4E5F6")}


def test_unreachable_table_is_503_and_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in ("get_item", "update_item"):
        before(monkeypatch, method, unreachable)
        answer = add()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        body = answer.json()
        assert list(body) == ["status", "timestamp", "time", "ip", "message", "error_code", "data"]
        assert (body["status"], body["error_code"], body["data"]) == (503, "service_unavailable", [])
        assert "secret" not in answer.body
        assert stored(Table.DEVICES) == []


def test_internal_error_is_500_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    before(monkeypatch, "update_item", broken)
    answer = add()
    assert (answer.status, answer.json()["error_code"]) == (500, "internal_error")
    assert "secret" not in answer.body


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("vodlix.add_device", ADD, ["GetItem", "UpdateItem"]),
        ("vodlix.get_configs", event("GET", "/api/base/configs"), ["GetItem"]),
    ],
)
def test_adding_takes_a_read_and_a_write_and_configs_one_read(
    name: str, request_: dict[str, object], expected: list[str]
) -> None:
    with calls.recording(name) as invocation:
        template.function(name).load()(request_, None)
    assert invocation.dynamodb == expected


def test_switch_applies_from_the_next_request() -> None:
    settings.change("device_management", 0)
    before_ = everything()
    assert add().json()["error_code"] == "device_management_disabled"
    assert everything() == before_
    settings.change("device_management", 1)
    assert add().status == 200
