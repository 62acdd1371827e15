"""rufus: exact responses of POST /v0/devices, and the items it writes."""

import json
import re
from typing import Any

import boto3
import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices
from bindery.security import secrets
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

KEY = "ror-ae4fc6c19681a20fad30"
SAMPLE = {"model": "Model X1", "serial_number": "DEVICE-123"}


@pytest.fixture(autouse=True)
def account(registry: None) -> None:
    accounts.create("acme", name="Acme")
    api_keys.issue("acme", Kind.RUFUS, Grant.READ_WRITE, alias="demo", chosen=KEY)


def bind(body: Any, *, key: str | None = KEY, header: str = "api_key", **changes: Any) -> Response:
    headers = {} if key is None else {header: key}
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return invoke("rufus.bind_device", event("POST", "/v0/devices", headers=headers, body=text, **changes))


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
    assert made == {
        "pk": device,
        "dialect": "rufus",
        "model": "Model X1",
        "serial": "DEVICE-123",
        "created_at": made["created_at"],
    }
    assert binding == {
        "pk": device,
        "sk": "owner",
        "holder": "account#acme",
        "binding": binding["binding"],
        "bound_at": binding["bound_at"],
        "holder_sort": f"rufus#{binding['bound_at']}",
        "leases": {},
        "model": "Model X1",
        "serial": "DEVICE-123",
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


def test_serials_that_differ_only_in_unicode_form_are_equal() -> None:
    composed = bind({"model": "M", "serial_number": "caf\u00e9"})
    decomposed = bind({"model": "M", "serial_number": " cafe\u0301 "})
    assert composed.body == decomposed.body
    assert len(stored(Table.DEVICES)) == 1


@pytest.mark.parametrize("other", [("Model X1D", "EVICE-123"), ("Model X1", "DEVICE-124"), ("model x1", "DEVICE-123")])
def test_other_model_or_serial_is_another_device(other: tuple[str, str]) -> None:
    assert bind(SAMPLE).body != bind({"model": other[0], "serial_number": other[1]}).body


def test_same_device_in_another_company_is_another_device() -> None:
    accounts.create("other", name="Other")
    theirs = api_keys.issue("other", Kind.RUFUS, Grant.WRITE, alias="theirs")
    assert bind(SAMPLE).body != bind(SAMPLE, key=theirs).body
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
        ("", "Malformed request body: a JSON object is expected"),
        ("{", "Malformed request body: a JSON object is expected"),
        ("[]", "Malformed request body: a JSON object is expected"),
        ('"text"', "Malformed request body: a JSON object is expected"),
        (b"\xff\xfe{}", "Malformed request body: a JSON object is expected"),
        ('{"model": NaN, "serial_number": "D"}', "Malformed request body: a JSON object is expected"),
        ("[" * 16000, "Malformed request body: a JSON object is expected"),
        (json.dumps({**SAMPLE, "pad": "x" * 16384}), "Malformed request body: a JSON object is expected"),
    ],
)
def test_invalid_body_is_400_naming_every_wrong_parameter(body: Any, description: str) -> None:
    before = everything()
    answer = bind(body)
    assert (answer.status, answer.body) == (400, json.dumps({"description": description}, separators=(",", ":")))
    assert everything() == before


def test_body_of_exactly_16_kib_is_accepted() -> None:
    text = json.dumps({**SAMPLE, "pad": ""})
    assert bind(text.replace('"pad": ""', f'"pad": "{"x" * (16384 - len(text))}"')).status == 201


@pytest.mark.parametrize("length", [1, 128])
def test_text_of_up_to_128_characters_is_accepted(length: int) -> None:
    assert bind({"model": "é" * length, "serial_number": "S" * length, "alias": "a" * length}).status == 201


@pytest.mark.parametrize(
    ("key", "description"),
    [
        (None, "Missing api key"),
        ("  ", "Missing api key"),
        ("ror-00000000000000000000", "Invalid api key"),
        ("é", "Invalid api key"),
    ],
)
def test_missing_or_unknown_key_is_403(key: str | None, description: str) -> None:
    before = everything()
    answer = bind(SAMPLE, key=key)
    assert (answer.status, answer.body) == (403, f'{{"description":"{description}"}}')
    assert everything() == before


def test_invalid_keys_are_refused_like_unknown_ones() -> None:
    revoked = api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="revoked")
    api_keys.revoke(api_keys.id_of(revoked))
    expired = api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="expired", expires_at=clock.now() - 1)
    developer = api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="developer")
    accounts.create("closed", name="Closed")
    closed = api_keys.issue("closed", Kind.RUFUS, Grant.WRITE, alias="closed")
    accounts.set_enabled("closed", False)
    before = everything()
    unknown = bind(SAMPLE, key="ror-00000000000000000000")
    for key in (revoked, expired, developer, closed):
        assert bind(SAMPLE, key=key) == unknown
    assert everything() == before
    accounts.set_enabled("closed", True)
    assert bind(SAMPLE, key=closed).status == 201


@pytest.mark.parametrize(("grant", "status"), [(Grant.READ, 403), (Grant.WRITE, 201), (Grant.READ_WRITE, 201)])
def test_binding_needs_a_key_with_write_access(grant: Grant, status: int) -> None:
    answer = bind(SAMPLE, key=api_keys.issue("acme", Kind.RUFUS, grant, alias="granted"))
    assert answer.status == status
    if status == 403:
        assert answer.body == '{"description":"Wrong api key access type"}'
        assert stored(Table.DEVICES) == stored(Table.BINDINGS) == []


def test_key_is_checked_before_the_body() -> None:
    reader = api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="reader")
    assert bind("{", key=reader).body == '{"description":"Wrong api key access type"}'
    assert bind("{", key=None).body == '{"description":"Missing api key"}'


@pytest.mark.parametrize("header", ["api_key", "API_KEY", "Api_Key", "x-api-key", "X-API-Key"])
def test_key_is_read_from_both_headers_in_any_case(header: str) -> None:
    assert bind(SAMPLE, header=header).status == 201


@pytest.mark.parametrize("body", [json.dumps(SAMPLE), json.dumps(SAMPLE).encode()])
def test_body_is_parsed_as_json_regardless_of_content_type(body: str | bytes) -> None:
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", "image/png"):
        headers = {"api_key": KEY, "content-type": content_type}
        assert invoke("rufus.bind_device", event("POST", "/v0/devices", headers=headers, body=body)).status == 201


def test_fields_a_caller_cannot_set_are_ignored_and_not_stored() -> None:
    bind(
        {
            **SAMPLE,
            "holder": "account#evil",
            "banned_at": 1,
            "deviceid": "X",
            "binding": "x",
            "pk": "x",
            "colour": "red",
        }
    )
    (device,) = stored(Table.DEVICES)
    (binding,) = stored(Table.BINDINGS)
    assert set(device) == {"pk", "dialect", "model", "serial", "created_at"}
    assert set(binding) == {"pk", "sk", "holder", "binding", "bound_at", "holder_sort", "leases", "model", "serial"}
    assert binding["holder"] == "account#acme"


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


def test_device_bound_again_after_unbinding_has_its_deviceid() -> None:
    first = bind(SAMPLE)
    device = identity.company_device("acme", "Model X1", "DEVICE-123")
    dynamodb.write(dynamodb.Delete(items.owner(device)))
    assert bind(SAMPLE).body == first.body


def test_rule_and_response_give_the_same_deviceid() -> None:
    given = company_devices.bind("acme", "Model X1", "DEVICE-123", alias=None, firmware=None, kind=None)
    assert bind(SAMPLE).json()["deviceid"] == given
