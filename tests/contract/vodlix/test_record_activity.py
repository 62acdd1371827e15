"""Activities and checks: concurrent changes, and the calls of each."""

import json
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.registry import devices, items
from bindery.vodlix import video_devices
from tests import calls
from tests.concurrency.races import before
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

MAC = "A1B2C3D4E5F6"
DEVICE = "vodlix#A1B2C3D4E5F6"
FACTS = dict.fromkeys(("device_os", "device_version", "device_type", "app_version", "app_name"), "x")
ACTIVITY = {"mac_address": MAC, "current_screen": "content_info", "content_id": "1024", "content_type": "movie"}
RECORD = event("POST", "/api/v2/device_activity", body=json.dumps(ACTIVITY))
CHECK = event("POST", "/api/v2/device_check", body=json.dumps(ACTIVITY))


@pytest.fixture(autouse=True)
def _added(registry: None) -> None:
    video_devices.add(MAC, **FACTS)


def record() -> Response:
    return invoke("vodlix.record_activity", RECORD)


def unreachable() -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://secret.internal")


@pytest.mark.parametrize(
    ("happen", "code"),
    [
        (lambda: devices.ban(DEVICE, "stolen"), "device_banned"),
        (lambda: dynamodb.write(dynamodb.Delete(items.device(DEVICE))), "device_not_found"),
    ],
)
def test_change_just_before_the_write_refuses_the_activity(
    happen: Callable[[], object], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[Any] = []
    before(monkeypatch, "update_item", lambda: (happen(), after.append(everything())))
    assert record().json()["error_code"] == code
    assert [everything()] == after


def test_last_of_two_concurrent_activities_is_stored_completely(monkeypatch: pytest.MonkeyPatch) -> None:
    before(
        monkeypatch,
        "update_item",
        lambda: video_devices.record_activity(MAC, screen="home", content_id="theirs", content_type=None),
    )
    assert record().status == 200
    (player,) = stored(Table.DEVICES)
    assert ACTIVITY.items() - player.items() == {("mac_address", MAC)}


def test_concurrent_add_and_activity_are_both_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    before(monkeypatch, "update_item", lambda: video_devices.add(MAC, **FACTS | {"app_name": "new"}))
    assert record().status == 200
    (player,) = stored(Table.DEVICES)
    assert (player["app_name"], player["current_screen"]) == ("new", "content_info")


@pytest.mark.parametrize(
    ("name", "request_", "method"),
    [("vodlix.check_device", CHECK, "get_item"), ("vodlix.record_activity", RECORD, "update_item")],
)
def test_unreachable_table_is_503(
    name: str, request_: dict[str, Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = everything()
    before(monkeypatch, method, unreachable)
    answer = invoke(name, request_)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error_code"] == "service_unavailable"
    assert everything() == stored


@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [("vodlix.check_device", CHECK, ["GetItem"]), ("vodlix.record_activity", RECORD, ["UpdateItem"])],
)
def test_check_takes_one_read_and_activity_one_write(name: str, request_: dict[str, Any], expected: list[str]) -> None:
    with calls.recording(name) as invocation:
        template.function(name).load()(request_, None)
    assert invocation.dynamodb == expected
