"""vodlix: exact responses to checks and activities, and the items they write."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core import clock
from bindery.http.messages import Call
from bindery.registry import devices, items
from bindery.vodlix import video_devices
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

NOW = 1684581841_007
FACTS = {
    "device_os": "iOS",
    "device_version": "14.5",
    "device_type": "Mobile",
    "app_version": "2.0",
    "app_name": "MyApp",
}
MAC = "A1B2C3D4E5F6"
DEVICE = "vodlix#A1B2C3D4E5F6"
ACTIVITY = {"mac_address": MAC, "current_screen": "content_info", "content_id": "1024", "content_type": "movie"}
ADDED = {"pk": DEVICE, "dialect": "vodlix", "created_at": NOW, "added_at": NOW, **FACTS}
FORM = {"content-type": "application/x-www-form-urlencoded"}
HEAD = '{"status":200,"timestamp":1684581841,"time":0.583,"ip":"203.0.113.9","message":"Success",'
MALFORMED = "Malformed request body: a JSON object or a form is expected"

Ask = Callable[..., Response]


@pytest.fixture(autouse=True)
def _then(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time to that of the documented sample, in which a device is added."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr(Call, "elapsed", lambda self: 0.58312)
    video_devices.add(MAC, **FACTS)


def _ask(name: str, path: str, body: Any, headers: dict[str, str] | None) -> Response:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return invoke(name, event("POST", path, headers=headers, body=text))


def check(body: Any, headers: dict[str, str] | None = None) -> Response:
    return _ask("vodlix.check_device", "/api/v2/device_check", body, headers)


def record(body: Any, headers: dict[str, str] | None = None) -> Response:
    return _ask("vodlix.record_activity", "/api/v2/device_activity", body, headers)


def shown(mac_address: str = MAC) -> str:
    return f'{HEAD}"data":{{"mac_address":"{mac_address}","status":1,"ban_status":0}}}}'


def refusal(message: str, code: str) -> str:
    return (
        '{"status":400,"timestamp":1684581841,"time":0.583,"ip":"203.0.113.9",'
        f'"message":"{message}","error_code":"{code}","data":[]}}'
    )


both = pytest.mark.parametrize("ask", [check, record])


@both
def test_known_device_is_returned_as_it_was_added(ask: Ask) -> None:
    answer = ask(ACTIVITY)
    assert (answer.status, answer.body) == (200, shown())
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}


def test_check_changes_nothing() -> None:
    before = everything()
    check(ACTIVITY)
    assert everything() == before


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
@pytest.mark.parametrize("mac", ["A1B2C3D4E5F7", "STT9.221129.002", "x" * 128])
def test_unknown_device_is_not_found_and_not_created(ask: Ask, mac: str) -> None:
    before = everything()
    answer = ask(ACTIVITY | {"mac_address": mac})
    assert (answer.status, answer.body) == (400, refusal("Device not found", "device_not_found"))
    assert everything() == before


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


@both
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(ACTIVITY), {"content-type": "text/plain"}),
        (json.dumps(ACTIVITY).encode(), FORM),
        (json.dumps(ACTIVITY).encode(), {}),
        (urlencode(ACTIVITY).encode(), FORM),
    ],
)
def test_json_of_any_content_type_and_forms_are_accepted(ask: Ask, body: Any, headers: dict[str, str]) -> None:
    assert ask(body, headers).body == shown()


def test_numbers_and_booleans_are_read_as_text() -> None:
    record(ACTIVITY | {"content_id": 1024, "content_type": True})
    (player,) = stored(Table.DEVICES)
    assert (player["content_id"], player["content_type"]) == ("1024", "true")


@both
@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"current_screen": "home"}, "Missing required parameters: mac_address", "missing_parameter"),
        (
            {"mac_address": " ", "current_screen": "home"},
            "Missing required parameters: mac_address",
            "missing_parameter",
        ),
        (ACTIVITY | {"mac_address": "x" * 129}, "Invalid parameters: mac_address", "invalid_parameter"),
        (ACTIVITY | {"mac_address": ["x"]}, "Invalid parameters: mac_address", "invalid_parameter"),
        ("", MALFORMED, "invalid_parameter"),
        ("[]", MALFORMED, "invalid_parameter"),
    ],
)
def test_invalid_address_is_400_and_changes_nothing(ask: Ask, body: Any, message: str, code: str) -> None:
    before = everything()
    assert (ask(body).status, ask(body).body) == (400, refusal(message, code))
    assert everything() == before


@pytest.mark.parametrize(
    ("changes", "message", "code"),
    [
        ({"current_screen": None}, "Missing required parameters: current_screen", "missing_parameter"),
        ({"content_id": ""}, "Missing required parameters: content_id", "missing_parameter"),
        ({"content_type": None}, "Missing required parameters: content_type", "missing_parameter"),
        (
            {"mac_address": "", "content_id": " ", "content_type": ""},
            "Missing required parameters: mac_address, content_id, content_type",
            "missing_parameter",
        ),
        ({"content_id": "x" * 129}, "Invalid parameters: content_id", "invalid_parameter"),
        (
            {"current_screen": "a\u0000", "content_id": None, "content_type": {}},
            "Invalid parameters: current_screen, content_type",
            "invalid_parameter",
        ),
        (
            {"current_screen": "home", "content_id": [], "content_type": "x" * 129},
            "Invalid parameters: content_id, content_type",
            "invalid_parameter",
        ),
    ],
)
def test_activity_needs_a_screen_and_content_fields_if_shown(changes: dict[str, Any], message: str, code: str) -> None:
    before = everything()
    answer = record(ACTIVITY | changes)
    assert (answer.status, answer.body) == (400, refusal(message, code))
    assert everything() == before


def test_content_screen_without_content_names_both_fields() -> None:
    answer = record({"mac_address": MAC, "current_screen": " content_info "})
    assert answer.body == refusal("Missing required parameters: content_id, content_type", "missing_parameter")


def test_fields_a_caller_cannot_set_are_ignored_and_not_stored() -> None:
    record(ACTIVITY)
    before = everything()
    record(ACTIVITY | {"banned_at": 1, "inactive": True, "app_name": "x", "active_at": 1, "pk": "x", "address": "x"})
    assert everything() == before
