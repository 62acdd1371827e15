import json
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from tests.http_api import OPERATOR, Response, admin, event, invoke
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("registry")

PLAYER = {
    "mac_address": "A1B2C3D4E5F6",
    "device_os": "iOS",
    "device_version": "14.5",
    "device_type": "Mobile",
    "app_version": "2.0",
    "app_name": "MyApp",
}


def put(value: Any) -> Response:
    return admin("settings", "PUT", "settings/device_management", {"value": value})


def configs() -> Any:
    return invoke("vodlix.get_configs", event("GET", "/api/base/configs")).json()["data"]["device_management"]


def add() -> int:
    return invoke("vodlix.add_device", event("POST", "/api/v2/device", body=json.dumps(PLAYER))).status


def test_unset_setting_has_its_default() -> None:
    expected = {"name": "device_management", "value": 1, "default": 1}
    assert admin("settings", "GET", "settings/device_management").json() == expected
    assert admin("settings", "GET", "settings").json() == {"items": [expected], "next": None}
    assert stored(Table.DIRECTORY) == []


@pytest.mark.parametrize("value", [0, 1])
def test_setting_keeps_its_type_and_takes_effect_immediately(value: Any) -> None:
    assert put(value).status == 200
    for shown in (
        put(value).json()["value"],
        admin("settings", "GET", "settings/device_management").json()["value"],
        admin("settings", "GET", "settings").json()["items"][0]["value"],
        configs(),
    ):
        assert (shown, type(shown)) == (value, type(value))
    (record,) = stored(Table.DIRECTORY)
    assert record["changed_by"] == OPERATOR


def test_device_management_setting_takes_effect_immediately() -> None:
    assert add() == 200
    put(0)
    assert add() == 400
    put(1)
    assert add() == 200
