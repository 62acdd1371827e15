"""vodlix: exact responses to adding a device and reading the configuration, and the items written."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Put, Table
from bindery.core import clock
from bindery.http.messages import Call
from bindery.registry import devices, identity, items
from tests.http_api import Response
from tests.sample_requests import send
from tests.tables import NOTHING, everything, stored
from tests.vodlix import DEVICE, FACTS, HEAD, NOW, SAMPLE, add, refusal


def configs() -> Response:
    return send("vodlix.get_configs")


def test_documented_sample_is_added() -> None:
    answer = add()
    assert answer.status == 200
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert answer.body == HEAD + '"data":{"mac_address":"A1B2C3D4E5F6","status":1,"ban_status":0}}'
    assert stored(Table.DEVICES) == [{"pk": DEVICE, "dialect": "vodlix", "created_at": NOW, "added_at": NOW, **FACTS}]
    assert stored(Table.BINDINGS) == []


def test_adding_again_replaces_everything_but_the_creation_time(monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    later = {name: f"new {name}" for name in SAMPLE} | {"mac_address": SAMPLE["mac_address"]}
    monkeypatch.setattr(clock, "now", lambda: NOW + 5000)
    assert add(later).status == 200
    assert stored(Table.DEVICES) == [
        {"pk": DEVICE, "dialect": "vodlix", "created_at": NOW, "added_at": NOW + 5000}
        | {name: f"new {name}" for name in SAMPLE if name != "mac_address"}
    ]


def test_adding_again_keeps_the_fields_set_by_operators() -> None:
    add()
    devices.deactivate(DEVICE)
    add()
    assert stored(Table.DEVICES)[0]["inactive"] is True


@pytest.mark.parametrize("other", ["STT9.221129.002", "stt9.221129.002", "A1B2C3D4E5F", "A1B2C3D4E5F60", "a#b%c"])
def test_addresses_that_are_not_macs_are_compared_as_sent(other: str) -> None:
    add()
    assert add(SAMPLE | {"mac_address": other}).json()["data"]["mac_address"] == other
    assert {item["pk"] for item in stored(Table.DEVICES)} == {DEVICE, f"vodlix#{other}"}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        *((text, text) for text in ("2.10", "2", "-0", "1e5", "12345678901234567890.10", "true", "false")),
        ('" 2.0 "', "2.0"),
        ('"\\u65e5\\u672c"', "日本"),
    ],
)
def test_numbers_and_booleans_are_read_as_text(sent: str, expected: str) -> None:
    assert add(json.dumps(SAMPLE | {"app_version": "?"}).replace('"?"', sent)).status == 200
    assert stored(Table.DEVICES)[0]["app_version"] == expected


def multipart(fields: Mapping[str, str]) -> tuple[str, bytes]:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{fields[name]}\r\n' for name in fields]
    return "multipart/form-data; boundary=b", ("".join(parts) + "--b--\r\n").encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"\n " + json.dumps(SAMPLE).encode()),
        ("application/x-www-form-urlencoded", urlencode(SAMPLE).encode()),
        ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", urlencode(SAMPLE).encode()),
        multipart(SAMPLE),
    ],
)
def test_form_with_json_or_fields_is_accepted(content_type: str, body: bytes) -> None:
    add()
    expected = stored(Table.DEVICES)
    answer = add(body, {"content-type": content_type})
    assert (answer.status, stored(Table.DEVICES)) == (200, expected)


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_text_of_up_to_128_characters_is_accepted(letter: str) -> None:
    assert add(dict.fromkeys(SAMPLE, letter * 128)).status == 200


def test_device_with_longest_ordinary_text_costs_one_write_unit() -> None:
    add(dict.fromkeys(SAMPLE, "x" * 128))
    (item,) = stored(Table.DEVICES)
    assert sum(len(name) + len(str(value)) for name, value in item.items()) <= 1024


@pytest.mark.parametrize("value", [1, "1"])
def test_1_as_number_or_text_enables_adding(value: int | str) -> None:
    dynamodb.write(Put(items.setting("device_management"), {"value": value}))
    assert add().status == 200
    shown = f'{{"device_management":{json.dumps(value)}}}'
    assert configs().body == f'{HEAD}"data":{shown},"configs":{shown}}}'


@pytest.mark.parametrize("value", [0, 2, -1, "0", "", "true", "1.0", " 1", "01", "on", True, False])
def test_any_other_value_disables_adding(value: bool | int | str) -> None:
    dynamodb.write(Put(items.setting("device_management"), {"value": value}))
    before = everything()
    answer = add()
    assert (answer.status, answer.body) == (400, refusal("Device management is disabled", "device_management_disabled"))
    assert everything() == before
    shown = f'{{"device_management":{json.dumps(value)}}}'
    assert configs().body == f'{HEAD}"data":{shown},"configs":{shown}}}'


def test_switch_is_on_by_default_and_cacheable_for_a_minute() -> None:
    answer = configs()
    assert answer.status == 200
    assert answer.body == HEAD + '"data":{"device_management":1},"configs":{"device_management":1}}'
    assert answer.headers == {
        "Content-Type": "application/json",
        "x-request-id": "request-1",
        "Cache-Control": "max-age=60",
    }
    assert everything() == NOTHING


def test_device_can_be_banned_before_it_is_added() -> None:
    dynamodb.write(Put(items.device(identity.video_device("STT9.1")), {"banned_at": NOW, "ban_reason": "stolen"}))
    assert add(SAMPLE | {"mac_address": "STT9.1"}).json()["error_code"] == "device_banned"


@pytest.mark.parametrize(("elapsed", "shown"), [(0.0, "0.0"), (0.0004, "0.0"), (0.0126, "0.013"), (1.0, "1.0")])
def test_time_has_at_most_three_decimals(elapsed: float, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "elapsed", lambda self: elapsed)
    assert f'"time":{shown},"ip"' in add().body


def test_ip_is_the_source_ip_and_never_a_header() -> None:
    answer = add(SAMPLE, {"x-forwarded-for": "192.0.2.1"}, source_ip="2001:db8::1")
    assert answer.json()["ip"] == "2001:db8::1"
