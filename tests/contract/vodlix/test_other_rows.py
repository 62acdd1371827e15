"""vodlix: exact responses to checks and activities, and the items they write."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core import clock
from bindery.registry import devices, items
from bindery.vodlix import video_devices
from tests.http_api import Response
from tests.tables import everything, stored
from tests.vodlix import ACTIVITY, DEVICE, FACTS, HEAD, MAC, NOW, check, record, refusal

ADDED = {"pk": DEVICE, "dialect": "vodlix", "created_at": NOW, "added_at": NOW, **FACTS}

Ask = Callable[..., Response]


@pytest.fixture(autouse=True)
def _added(_then: None) -> None:
    video_devices.add(MAC, **FACTS)


def shown(mac_address: str = MAC) -> str:
    return f'{HEAD}"data":{{"mac_address":"{mac_address}","status":1,"ban_status":0}}}}'


both = pytest.mark.parametrize("ask", [check, record])


@both
def test_known_device_is_returned_as_it_was_added(ask: Ask) -> None:
    before = everything()
    answer = ask(ACTIVITY)
    assert (answer.status, answer.body) == (200, shown())
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert ask is record or everything() == before


def test_activity_is_stored_with_the_device() -> None:
    record(ACTIVITY)
    assert stored(Table.DEVICES) == [
        ADDED | {"current_screen": "content_info", "content_id": "1024", "content_type": "movie", "active_at": NOW}
    ]
    assert stored(Table.BINDINGS) == []


@pytest.mark.parametrize("absent", [{}, {"content_id": None, "content_type": " "}])
def test_later_activity_replaces_the_previous_one_completely(
    absent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(ACTIVITY)
    monkeypatch.setattr(clock, "now", lambda: NOW + 5000)
    assert record({"mac_address": MAC, "current_screen": "home", **absent}).status == 200
    assert stored(Table.DEVICES) == [
        ADDED | {"current_screen": "home", "content_id": None, "content_type": None, "active_at": NOW + 5000}
    ]


def test_adding_again_keeps_the_latest_activity() -> None:
    record(ACTIVITY)
    before = everything()
    video_devices.add(MAC, **FACTS)
    assert everything() == before


def test_device_with_its_latest_activity_costs_one_write_unit() -> None:
    video_devices.add(MAC, **dict.fromkeys(FACTS, "x" * 80))
    record({"mac_address": MAC, "current_screen": "s" * 64, "content_id": "i" * 64, "content_type": "t" * 64})
    (item,) = stored(Table.DEVICES)
    assert sum(len(name) + len(str(value)) for name, value in item.items()) <= 1024


@both
@pytest.mark.parametrize("spelling", ["a1:b2:c3:d4:e5:f6", "A1-B2-C3-D4-E5-F6", " a1b2.c3d4.e5f6 "])
def test_mac_spellings_name_one_device_and_are_returned_as_sent(ask: Ask, spelling: str) -> None:
    assert ask(ACTIVITY | {"mac_address": spelling}).body == shown(spelling.strip())
    assert [item["pk"] for item in stored(Table.DEVICES)] == [DEVICE]


@both
def test_banned_device_is_refused_until_the_ban_is_lifted(ask: Ask) -> None:
    devices.ban(DEVICE, "stolen")
    before = everything()
    for spelling in (MAC, "a1:b2:c3:d4:e5:f6"):
        answer = ask(ACTIVITY | {"mac_address": spelling})
        assert (answer.status, answer.body) == (400, refusal("Device is banned", "device_banned"))
    assert everything() == before
    devices.unban(DEVICE)
    assert ask(ACTIVITY).status == 200


@both
@pytest.mark.parametrize("value", [0, "off"])
def test_switch_applies_only_to_adding(ask: Ask, value: int | str) -> None:
    dynamodb.write(Put(items.setting("device_management"), {"value": value}))
    assert ask(ACTIVITY).status == 200
