"""rufus: exact responses of binding, showing, listing and unbinding devices, and the items they write."""

import json
import re
from typing import Any

import boto3
import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import bindings, devices, identity, items
from bindery.rufus import dialect
from bindery.security import secrets
from tests.http_api import Response
from tests.rufus import OTHER, SAMPLE, UNBINDER, bind, bound, get, page, unbind
from tests.tables import everything, stored


def test_documented_sample_is_bound_and_gets_its_deviceid() -> None:
    answer = bind('{"model": "Model X1", "serial_number":"DEVICE-123"}')
    assert answer.status == 201
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert re.fullmatch(r'\{"description":"Device binded succesfully","deviceid":"[0-9A-F]{64}"\}', answer.body)


def test_bind_creates_the_device_and_its_binding() -> None:
    answer = bind({**SAMPLE, "alias": "Front door", "firmware": "1.2", "type": "lock"})
    device = identity.company_device("acme", "Model X1", "DEVICE-123")
    (made,) = stored(Table.DEVICES)
    (binding,) = stored(Table.BINDINGS)
    named = {"pk": device, "model": "Model X1", "serial": "DEVICE-123"}
    assert made == named | {"dialect": "rufus", "created_at": made["created_at"]}
    assert binding == named | {
        "sk": "owner",
        "holder": "account#acme",
        "binding": binding["binding"],
        "bound_at": binding["bound_at"],
        "holder_sort": f"rufus#{binding['bound_at']}",
        "leases": {},
        "credential": device.rpartition("#")[2],
        "alias": "Front door",
        "firmware": "1.2",
        "type": "lock",
    }
    assert device == f"rufus#acme#{secrets.fingerprint(answer.json()['deviceid'])}"


def test_deviceid_is_not_stored() -> None:
    deviceid = bind(SAMPLE).json()["deviceid"]
    assert deviceid.lower() not in json.dumps(everything(), default=str).lower()


def test_deviceid_differs_between_installations() -> None:
    first = bind(SAMPLE).body
    boto3.client("secretsmanager").put_secret_value(SecretId="DeviceIdSecret", SecretString="o" * 64)
    secrets.clear_cache()
    assert bind(SAMPLE).body != first


def test_binding_again_keeps_the_deviceid_and_updates_fields() -> None:
    first = bind({**SAMPLE, "alias": "old", "firmware": "1.0"})
    (before,) = stored(Table.BINDINGS)
    again = bind({**SAMPLE, "alias": "new", "firmware": " "})
    (after,) = stored(Table.BINDINGS)
    assert (again.status, again.body) == (201, first.body)
    assert after == before | {"alias": "new"}


@pytest.mark.parametrize("other", [("Model X1D", "EVICE-123"), ("Model X1", "DEVICE-124"), ("model x1", "DEVICE-123")])
def test_other_model_or_serial_is_another_device(other: tuple[str, str]) -> None:
    assert bind(SAMPLE).body != bind({"model": other[0], "serial_number": other[1]}).body


def test_same_device_in_another_company_is_another_device() -> None:
    assert bind(SAMPLE).body != bind(SAMPLE, OTHER).body
    assert sorted(item["holder"] for item in stored(Table.BINDINGS)) == ["account#acme", "account#other"]


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ({"model": "Model X1"}, "Missing required parameter: serial_number"),
        ({"serial_number": "D"}, "Missing required parameter: model"),
        ({}, "Missing required parameter: model, serial_number"),
        ({"model": None, "serial_number": "D"}, "Missing required parameter: model"),
        ({"model": " \t", "serial_number": ""}, "Missing required parameter: model, serial_number"),
        ({"model": 7, "serial_number": ["D"]}, "Missing required parameter: model, serial_number"),
        ({"model": "M" * 129, "serial_number": "D"}, "Invalid parameter: model"),
        ({"model": "M", "serial_number": "D\u0000"}, "Invalid parameter: serial_number"),
        ({"model": "M", "serial_number": "D", "alias": 7}, "Invalid parameter: alias"),
        ({"model": "M", "serial_number": "D", "firmware": "f" * 129}, "Invalid parameter: firmware"),
        ({"model": "M" * 129, "alias": True}, "Missing required parameter: serial_number"),
        ("{", "Malformed request body: a JSON object is expected"),
    ],
)
def test_invalid_body_is_400_naming_every_wrong_parameter(body: Any, description: str) -> None:
    before = everything()
    answer = bind(body)
    assert (answer.status, answer.body) == (400, json.dumps({"description": description}, separators=(",", ":")))
    assert everything() == before


@pytest.mark.parametrize("length", [1, 128])
def test_text_of_up_to_128_characters_is_accepted(length: int) -> None:
    assert bind({"model": "é" * length, "serial_number": "S" * length, "alias": "a" * length}).status == 201


@pytest.mark.parametrize("header", ["api_key", "API_KEY", "Api_Key", "x-api-key", "X-API-Key"])
def test_key_is_read_from_both_headers_in_any_case(header: str) -> None:
    assert bind(SAMPLE, header=header).status == 201


def test_banned_device_is_refused_until_the_ban_is_lifted() -> None:
    first = bind(SAMPLE)
    device = identity.company_device("acme", "Model X1", "DEVICE-123")
    devices.ban(device, "stolen")
    before = everything()
    answer = bind({**SAMPLE, "alias": "new"})
    assert (answer.status, answer.body) == (403, '{"description":"Device banned"}')
    assert everything() == before
    devices.unban(device)
    assert bind(SAMPLE).body == first.body


NOW = 1795176000_007
SHOWN_NOW = "2026-11-20T12:00:00.007Z"
NOT_FOUND = '{"description":"Device not found"}'
UNKNOWN = "65A1B7E0C6BC3D32C268C1506E3F6F39E225DC6ED79573E177E7243E8E38115B"


@pytest.fixture(autouse=True)
def _then(companies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def serials(answer: Response) -> list[str]:
    return [device["serial_number"] for device in answer.json()["result"]]


def not_found(deviceid: str) -> str:
    return json.dumps(
        {"description": "Device not found", "deviceid": deviceid}, separators=(",", ":"), ensure_ascii=False
    )


def test_device_is_shown_with_every_stored_field() -> None:
    deviceid = bound(alias="Front door", firmware="1.2", kind="lock")
    answer = get(deviceid)
    assert (answer.status, answer.body) == (
        200,
        f'{{"description":"Success","result":{{"deviceid":"{deviceid}","type":"lock","model":"Model X1",'
        f'"alias":"Front door","firmware":"1.2","serial_number":"DEVICE-123","creation_date":"{SHOWN_NOW}",'
        '"sessions":0,"passings":0,"last_seen":null}}',
    )
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}


@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda deviceid: f" {deviceid} "])
def test_deviceid_is_case_insensitive_and_returned_as_issued(spell: Any) -> None:
    deviceid = bound()
    assert get(spell(deviceid)).json()["result"]["deviceid"] == deviceid
    assert unbind(spell(deviceid)).json()["deviceid"] == deviceid


IMPOSSIBLE = ["X", UNKNOWN[:-1], UNKNOWN + "0", "G" * 64, "日本", "a\u0000b", '"', "%2F", "#", "ﬀ" * 32, "x" * 5000]


@pytest.mark.parametrize("deviceid", [UNKNOWN, UNKNOWN.lower(), *IMPOSSIBLE])
def test_unknown_or_malformed_deviceid_is_the_same_404(deviceid: str) -> None:
    bound()
    before = everything()
    shown = deviceid.upper() if deviceid.upper() == UNKNOWN else deviceid
    assert (get(deviceid).status, get(deviceid).body) == (404, NOT_FOUND)
    assert (unbind(deviceid).status, unbind(deviceid).json()) == (404, json.loads(not_found(shown)))
    assert everything() == before


def test_unbinding_leaves_only_the_device_item() -> None:
    deviceid = bound(alias="Front door", firmware="1.2", kind="lock")
    (device,) = stored(Table.DEVICES)
    answer = unbind(deviceid)
    assert (answer.status, answer.body) == (
        200,
        f'{{"description":"Device unbinded succesfully","deviceid":"{deviceid}"}}',
    )
    assert stored(Table.BINDINGS) == []
    assert stored(Table.DEVICES) == [device]
    assert (get(deviceid).body, serials(page())) == (NOT_FOUND, [])
    assert (unbind(deviceid).status, unbind(deviceid).body) == (404, not_found(deviceid))


def test_device_bound_again_keeps_only_its_deviceid(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bound(alias="Front door", firmware="1.2", kind="lock")
    first = get(deviceid).json()["result"]
    unbind(deviceid)
    monkeypatch.setattr(clock, "now", lambda: NOW + 1000)
    assert bound() == deviceid
    new = dict.fromkeys(("type", "alias", "firmware")) | {"creation_date": "2026-11-20T12:00:01.007Z"}
    assert get(deviceid).json()["result"] == first | new


@pytest.mark.parametrize(
    ("grant", "may_unbind", "statuses"),
    [
        (Grant.READ, False, [200, 200, 403, 403]),
        (Grant.WRITE, False, [403, 403, 403, 201]),
        (Grant.WRITE, True, [403, 403, 200, 201]),
        (Grant.READ_WRITE, False, [200, 200, 403, 201]),
        (Grant.READ_WRITE, True, [200, 200, 200, 201]),
    ],
)
def test_each_access_type_allows_only_its_operations(grant: Grant, may_unbind: bool, statuses: list[int]) -> None:
    key = api_keys.issue("acme", Kind.RUFUS, grant, alias="granted", unbind=may_unbind)
    deviceid = bound()
    answers = [get(deviceid, key), page(key=key), unbind(deviceid, key), bind(key=key)]
    assert [answer.status for answer in answers] == statuses
    assert {answer.body for answer in answers if answer.status == 403} <= {
        '{"description":"Wrong api key access type"}'
    }


def test_unbinding_records_the_day_of_the_keys_last_use() -> None:
    def last_used() -> list[Any]:
        return [
            item.get("last_used") for item in stored(Table.DIRECTORY) if item["pk"].endswith(api_keys.id_of(UNBINDER))
        ]

    deviceid = bound()
    unbind(UNKNOWN)
    assert last_used() == [None]
    unbind(deviceid)
    assert last_used() == ["2026-11-20"]


def test_list_is_ordered_by_time_of_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    bound("theirs", "other")
    first = bound("S2", alias="Front door", kind="lock")
    monkeypatch.setattr(clock, "now", lambda: NOW + 1)
    second = bound("S1", firmware="1.2")
    answer = page()
    assert (answer.status, answer.body) == (
        200,
        '{"description":"Success","result":['
        f'{{"deviceid":"{first}","type":"lock","model":"Model X1","alias":"Front door","firmware":null,'
        f'"serial_number":"S2","creation_date":"{SHOWN_NOW}","sessions":0}},'
        f'{{"deviceid":"{second}","type":null,"model":"Model X1","alias":null,"firmware":"1.2",'
        '"serial_number":"S1","creation_date":"2026-11-20T12:00:00.008Z","sessions":0}'
        '],"pagination":{"page":1,"limit":100,"total":2,"has_more":false}}',
    )
    assert serials(page(key=OTHER)) == ["theirs"]


@pytest.fixture
def seven(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bind seven devices and return their serial numbers in order of binding."""
    given = [f"S{number}" for number in (3, 1, 2, 7, 5, 6, 4)]
    for number, serial in enumerate(given):
        monkeypatch.setattr(clock, "now", lambda number=number: NOW + number)
        bound(serial)
    return given


def test_device_bound_between_two_pages_comes_last(seven: list[str]) -> None:
    first = serials(page("limit=4"))
    bound("A0")
    second = page("limit=4&page=2")
    assert first + serials(second) == [*seven, "A0"]
    assert second.json()["pagination"]["total"] == 8


def test_binding_again_keeps_the_position_in_the_list(seven: list[str]) -> None:
    bound(seven[0], alias="renamed")
    assert serials(page()) == seven
    assert page().json()["result"][0]["alias"] == "renamed"


def test_devices_of_another_api_are_not_listed() -> None:
    bound()
    for api in ("quectel", "rufusx"):
        elsewhere = {"holder": "account#acme", "holder_sort": bindings.holder_sort(api, NOW)}
        dynamodb.write(dynamodb.Put(items.owner(f"{api}#S"), elsewhere))
    assert (serials(page()), page().json()["pagination"]["total"]) == (["DEVICE-123"], 1)


@pytest.mark.parametrize(
    ("query", "pagination"),
    [
        ("", (1, 100)),
        ("page=2", (2, 100)),
        ("page=&limit=%20", (1, 100)),
        ("page=%202%20&limit=007", (2, 7)),
        ("limit=5000", (1, 5000)),
        ("page=9999999999&limit=5000", (9999999999, 5000)),
        ("page=1&colour=red&deviceid=x", (1, 100)),
    ],
)
def test_page_and_limit_have_defaults_and_bounds(query: str, pagination: tuple[int, int]) -> None:
    answer = page(query)
    assert answer.status == 200
    assert (answer.json()["pagination"]["page"], answer.json()["pagination"]["limit"]) == pagination


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("page=0", "page"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        *((text, "page") for text in ("page=-1", "page=1.0", "page=1e1", "page=%D9%A1")),
        ("page=x&limit=y", "page, limit"),
        ("page=1&page=2", "page"),
        ("page=10000000000000000", "page"),
        ("limit=true", "limit"),
    ],
)
def test_invalid_page_or_limit_is_400_naming_the_parameter(query: str, parameters: str) -> None:
    answer = page(query)
    assert (answer.status, answer.body) == (400, f'{{"description":"Invalid parameter: {parameters}"}}')


def test_page_over_the_lambda_response_limit_is_400(monkeypatch: pytest.MonkeyPatch) -> None:
    for serial in ("é\\", '"' * 128):
        bound(serial)
    whole = page("limit=2").body
    handed_over = len(json.dumps(whole, ensure_ascii=False).encode()) - 2
    monkeypatch.setattr(dialect, "ANSWER_LIMIT", handed_over)
    assert page("limit=2").body == whole
    monkeypatch.setattr(dialect, "ANSWER_LIMIT", handed_over - 1)
    assert page("limit=2").body == '{"description":"Invalid parameter: limit"}'
    assert page("limit=1").status == 200


def test_largest_page_of_ordinary_text_fits_the_lambda_limit() -> None:
    bound("S" * 40, alias="a" * 60, firmware="f" * 20, kind="t" * 20)
    body = page().body
    (one,) = [json.dumps(device) for device in page().json()["result"]]
    assert 5000 * (len(one) + one.count('"')) + len(body) < dialect.ANSWER_LIMIT
