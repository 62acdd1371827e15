"""vodlix: exact responses to checks, activities and invalid requests, and the items they write."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core import clock
from bindery.registry import devices, items
from bindery.vodlix import video_devices
from tests.http_api import Response
from tests.tables import everything, stored
from tests.vodlix import ACTIVITY, DEVICE, FACTS, HEAD, MAC, NOW, SAMPLE, add, check, record, refusal

ADDED = {"pk": DEVICE, "dialect": "vodlix", "created_at": NOW, "added_at": NOW, **FACTS}

Ask = Callable[[Any], Response]


@pytest.fixture(autouse=True)
def _added(_then: None) -> None:
    video_devices.add(MAC, **FACTS)


def shown(mac_address: str = MAC) -> str:
    return f'{HEAD}"data":{{"mac_address":"{mac_address}","status":1,"ban_status":0}}}}'


both = pytest.mark.parametrize("ask", [check, record])
every = pytest.mark.parametrize("ask", [add, check, record])


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


@every
@pytest.mark.parametrize("spelling", ["a1:b2:c3:d4:e5:f6", "A1-B2-C3-D4-E5-F6", " a1b2.c3d4.e5f6 "])
def test_mac_spellings_name_one_device_and_are_returned_as_sent(ask: Ask, spelling: str) -> None:
    assert ask(SAMPLE | ACTIVITY | {"mac_address": spelling}).body == shown(spelling.strip())
    assert [item["pk"] for item in stored(Table.DEVICES)] == [DEVICE]


@every
def test_banned_device_is_refused_until_the_ban_is_lifted(ask: Ask) -> None:
    devices.ban(DEVICE, "stolen")
    before = everything()
    for spelling in (MAC, "a1:b2:c3:d4:e5:f6"):
        answer = ask(SAMPLE | ACTIVITY | {"mac_address": spelling, "app_version": "3.0"})
        assert (answer.status, answer.body) == (400, refusal("Device is banned", "device_banned"))
    assert everything() == before
    devices.unban(DEVICE)
    assert ask(SAMPLE | ACTIVITY).status == 200


@both
@pytest.mark.parametrize("value", [0, "off"])
def test_switch_applies_only_to_adding(ask: Ask, value: int | str) -> None:
    dynamodb.write(Put(items.setting("device_management"), {"value": value}))
    assert ask(ACTIVITY).status == 200


MALFORMED = "Malformed request body: a JSON object or a form is expected"


def form(body: Any) -> Response:
    return add(body, {"content-type": "application/x-www-form-urlencoded"})


MISSING: list[tuple[Ask, Any, str]] = [
    *((add, {given: value for given, value in SAMPLE.items() if given != name}, name) for name in SAMPLE),
    *((add, SAMPLE | {"app_name": blank}, "app_name") for blank in (None, "", " \t\n")),
    (add, {}, ", ".join(SAMPLE)),
    (
        add,
        {"app_name": "x" * 129, "device_os": " "},
        "mac_address, device_os, device_version, device_type, app_version",
    ),
    *(
        (send, {"current_screen": "home", **blank}, "mac_address")
        for send in (check, record)
        for blank in ({}, {"mac_address": " "})
    ),
    (record, ACTIVITY | {"current_screen": None}, "current_screen"),
    (record, ACTIVITY | {"content_id": ""}, "content_id"),
    (record, ACTIVITY | {"content_type": None}, "content_type"),
    (
        record,
        ACTIVITY | {"mac_address": "", "content_id": " ", "content_type": ""},
        "mac_address, content_id, content_type",
    ),
    (record, {"mac_address": MAC, "current_screen": " content_info "}, "content_id, content_type"),
]
INVALID: list[tuple[Ask, Any, str]] = [
    (add, SAMPLE | {"app_name": "x" * 129}, "app_name"),
    (add, SAMPLE | {"mac_address": "A\u0000"}, "mac_address"),
    (add, SAMPLE | {"device_os": {"a": 1}}, "device_os"),
    (add, SAMPLE | {"device_os": [], "app_name": "\ud800"}, "device_os, app_name"),
    (form, urlencode(SAMPLE).encode() + b"&app_name=again", "app_name"),
    (form, urlencode(SAMPLE | {"app_name": b"\xff"}).encode(), "app_name"),
    *(
        (send, ACTIVITY | {"mac_address": wrong}, "mac_address")
        for send in (check, record)
        for wrong in ("x" * 129, ["x"])
    ),
    (record, ACTIVITY | {"content_id": "x" * 129}, "content_id"),
    (
        record,
        ACTIVITY | {"current_screen": "a\u0000", "content_id": None, "content_type": {}},
        "current_screen, content_type",
    ),
    (
        record,
        ACTIVITY | {"current_screen": "home", "content_id": [], "content_type": "x" * 129},
        "content_id, content_type",
    ),
]
REFUSED: list[tuple[Ask, Any, str, str]] = [
    *((send, body, f"Missing required parameters: {names}", "missing_parameter") for send, body, names in MISSING),
    *((send, body, f"Invalid parameters: {names}", "invalid_parameter") for send, body, names in INVALID),
    *((send, "{", MALFORMED, "invalid_parameter") for send in (add, check, record)),
    *(
        (send, ACTIVITY | {"mac_address": unknown}, "Device not found", "device_not_found")
        for send in (check, record)
        for unknown in ("A1B2C3D4E5F7", "STT9.221129.002", "x" * 128)
    ),
]


@pytest.mark.parametrize(("send", "body", "message", "code"), REFUSED, ids=range(len(REFUSED)))
def test_invalid_request_gets_its_response_and_writes_nothing(send: Ask, body: Any, message: str, code: str) -> None:
    before = everything()
    answer = send(body)
    assert (answer.status, answer.body) == (400, refusal(message, code))
    assert everything() == before
