"""rufus: exact responses of POST /v0/devices, and the items it writes."""

import json
import re
from typing import Any

import boto3
import pytest

from bindery.aws.dynamodb import Table
from bindery.registry import devices, identity
from bindery.security import secrets
from tests.rufus import OTHER, SAMPLE, bind
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("companies")


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
        "credential": device.rpartition("#")[2],
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
