from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.registry import items
from tests import calls
from tests.http_api import OPERATOR, Response, admin
from tests.sample_requests import sample, send
from tests.tables import stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")


def put(value: Any) -> Response:
    return admin("settings", "PUT", "settings/device_management", {"value": value})


def configs() -> Any:
    return send("vodlix.get_configs").json()["data"]["device_management"]


def add() -> int:
    return send("vodlix.add_device").status


def test_unset_setting_has_its_default() -> None:
    expected = {"name": "device_management", "value": 1, "default": 1}
    assert admin("settings", "GET", "settings/device_management").json() == expected
    assert admin("settings", "GET", "settings").json() == {"items": [expected], "next": None}
    assert stored(Table.DIRECTORY) == []


@pytest.mark.parametrize("value", [0, 1])
def test_setting_keeps_its_type(value: Any) -> None:
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


def test_device_management_takes_effect_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    start = clock.now()
    monkeypatch.setattr(clock, "now", lambda: start)
    assert add() == 200
    # As another environment's write does, this leaves the cache of this environment.
    dynamodb.write(items.setting("device_management").put({"value": 0}))
    for passed, status in ((59_999, 200), (60_000, 400), (-1, 400)):
        monkeypatch.setattr(clock, "now", lambda passed=passed: start + passed)
        assert add() == status
    put(1)
    assert add() == 200


def test_device_management_is_read_once_a_minute() -> None:
    with calls.recording("vodlix.get_configs") as invocation:
        for _ in range(3):
            template.function("vodlix.get_configs").load()(sample("vodlix.get_configs"), None)
    assert invocation.dynamodb == ["GetItem"]
