"""vodlix: exact responses to invalid requests, which write nothing."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.vodlix import video_devices
from tests.http_api import Response
from tests.tables import everything
from tests.vodlix import ACTIVITY, FACTS, MAC, SAMPLE, add, check, record, refusal

MALFORMED = "Malformed request body: a JSON object or a form is expected"
Send = Callable[[Any], Response]


def form(body: Any) -> Response:
    return add(body, {"content-type": "application/x-www-form-urlencoded"})


MISSING: list[tuple[Send, Any, str]] = [
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
INVALID: list[tuple[Send, Any, str]] = [
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
REFUSED: list[tuple[Send, Any, str, str]] = [
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
def test_invalid_request_gets_its_response_and_writes_nothing(send: Send, body: Any, message: str, code: str) -> None:
    video_devices.add(MAC, **FACTS)
    before = everything()
    answer = send(body)
    assert (answer.status, answer.body) == (400, refusal(message, code))
    assert everything() == before
