"""GET /apv/v27/device/list/all: lists exactly the devices that a user can connect to."""

import hashlib
import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import access, service_addresses
from bindery.core import clock
from bindery.directory import accounts, products, sessions, users
from bindery.quectel import binding, user_devices, user_domains
from bindery.registry import devices, items
from bindery.registry.bindings import Mode
from tests import calls, quectel, records
from tests.http_api import Response
from tests.records import developer
from tests.sample_requests import sample, send
from tests.tables import everything
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

NOW = 1795176000_250
LATER = 4_000_000_000
MEMBERS = [
    *("deviceaddress", "devicealias", "devicestate", "devicetype", "devicelastip", "lastcontacted", "lastinternalip"),
    *("createdate", "ownerusername", "servicetitle", "shared", "webenabled", "weburi", "localurl", "georegion"),
    *("webviewerurl", "scripting", "hardwareid"),
]


@pytest.fixture(autouse=True)
def headers(registry: None) -> dict[str, str]:
    """Create Ann of acme, who is a bank customer; Bob and Dan of acme; Eve of another account; a product per mode."""
    user_domains.create("D")
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    users.create("ann", "acme", domain="D", customer="MIGR00002", email="Ann@Example.com")
    users.create("bob", "acme", domain="D")
    users.create("dan", "acme", domain="D")
    users.create("eve", "other", domain="D", customer="MIGR00003")
    for mode in Mode:
        products.create(mode.name, name=f"{mode.name} lock", module_type="FC41D", mode=mode)
    return developer("ann", "acme")


def address(number: int) -> str:
    return f"80:00:00:00:00:00:00:{number:02X}"


def bound(account: str, serial_number: str, number: int | None = None, **given: Any) -> str:
    return records.bound(account, "M", serial_number, None if number is None else address(number), **given)


def bound_by(uid: str, mode: Mode, serial_number: str, number: int) -> str:
    device = devices.manufacture(
        mode.name, serial_number, device_key=f"KEY{serial_number}{number}", module_type="FC41D"
    )
    session = sessions.verify(sessions.issue(uid, "quectel", 60)[0], "quectel")
    binding.bind(session, mode.name, serial_number, capabilities=None, name=None, fid=None, frid=None, common=False)
    if dynamodb.get(items.service_address(address(number))) is None:
        service_addresses.assign(address(number), device)
    return device


def registered(owner: str, identifier: str, number: int) -> str:
    device = records.registration(owner, identifier, f"Phone {identifier}")
    service_addresses.assign(address(number), device)
    return device


def list_all(headers: dict[str, str]) -> Response:
    return send("remoteit.list_all", headers)


def listed(headers: dict[str, str]) -> dict[str, dict[str, str]]:
    answer = list_all(headers)
    assert answer.status == 200
    found = answer.json()
    assert list(found) == ["status", "devices", "cache_expires", "length"]
    assert (found["status"], found["cache_expires"], found["length"]) == ("true", 0, len(found["devices"]))
    for device in found["devices"]:
        assert list(device) == MEMBERS
        assert device.pop("scripting") is False
        assert (device.pop("weburi"), device.pop("webviewerurl")) == ([None], [None])
        assert {type(value) for value in device.values()} == {str}
    return {device["deviceaddress"]: device for device in found["devices"]}


def test_list_response_is_byte_exact(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    device = bound("acme", "S", alias="Front door", kind="camera")
    service_addresses.assign(address(0xF1), device, "ssh", 2222)
    answer = list_all(headers)
    assert answer.headers == {"Content-Type": "application/json", "x-request-id": "request-1"}
    assert answer.body == (
        '{"status":"true","devices":[{"deviceaddress":"80:00:00:00:00:00:00:F1","devicealias":"Front door",'
        '"devicestate":"active","devicetype":"00:1C:00:00:00:01:00:00:04:60:08:AE:00:01:00:00",'
        '"devicelastip":"203.0.113.9","lastcontacted":"2026-11-20T12:00:00+00:00","lastinternalip":"",'
        '"createdate":"2026-11-20T12:00:00+00:00","ownerusername":"Ann@Example.com","servicetitle":"SSH",'
        '"shared":"not-shared","webenabled":"0","weburi":[null],"localurl":"bm9uZQ==","georegion":"","webviewerurl":[null],'
        f'"scripting":false,"hardwareid":"{hashlib.sha256(device.encode()).hexdigest()[:32]}"}}],'
        '"cache_expires":0,"length":1}'
    )


def test_list_has_exactly_the_accessible_devices(headers: dict[str, str]) -> None:
    bound_by("ann", Mode.UNIQUE, "S1", 1)
    bound_by("ann", Mode.MULTI, "S2", 2)
    bound_by("bob", Mode.MULTI, "S2", 2)
    bound_by("dan", Mode.UNIQUE, "S3", 3)
    bound_by("dan", Mode.MULTI, "S4", 4)
    quectel.share("dan", "ann", LATER, pk="UNIQUE", dk="KEYS33")
    quectel.share("dan", "ann", LATER, pk="MULTI", dk="KEYS44")
    registered("MIGR00002", "355", 5)
    bound("acme", "S6", 6, alias="Gate")
    bound("acme", "no address")
    bound_by("eve", Mode.UNIQUE, "S7", 7)
    bound_by("bob", Mode.UNIQUE, "S8", 8)
    registered("MIGR00003", "356", 9)
    bound("other", "S10", 10)

    shown = {
        place: (device["devicealias"], device["ownerusername"], device["shared"])
        for place, device in listed(headers).items()
    }

    own = "Ann@Example.com"
    assert shown == {
        address(1): ("UNIQUE lock", own, "not-shared"),
        address(2): ("MULTI lock", own, "not-shared"),
        address(3): ("UNIQUE lock", "", "shared-from"),
        address(4): ("MULTI lock", "", "shared-from"),
        address(5): ("Phone 355", own, "not-shared"),
        address(6): ("Gate", own, "not-shared"),
    }
    bobs = listed(developer("bob", "acme"))
    assert set(bobs) == {address(2), address(6), address(8)}
    assert bobs[address(8)]["ownerusername"] == "bob"
    # Every listed device can be connected to.
    for place in shown:
        records.connection("ann", place)


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_shared_device_shows_the_recipients_name_and_time(mode: Mode, headers: dict[str, str]) -> None:
    bound_by("dan", mode, "S3", 3)
    quectel.share("dan", "ann", LATER, pk=mode.name, dk="KEYS33")
    user_devices.rename(quectel.session("ann"), mode.name, "KEYS33", "Ann's name")
    user_devices.rename(quectel.session("dan"), mode.name, "KEYS33", "Dan's name")
    dynamodb.write(items.user_device("ann", mode.name, "KEYS33").update(set={"bound_at": NOW}))
    (shown,) = list_all(headers).json()["devices"]
    assert (shown["devicealias"], shown["createdate"]) == ("Ann's name", "2026-11-20T12:00:00+00:00")
    assert (shown["shared"], shown["ownerusername"]) == ("shared-from", "")


SERVICES = {
    None: ("00:00", "00:00", "", "0"),
    "tcp": ("00:01", "00:00", "TCP", "0"),
    "vnc": ("00:04", "17:0C", "VNC", "0"),
    "rdp": ("00:05", "0D:3D", "RDP", "0"),
    "ssh": ("00:1C", "00:16", "SSH", "0"),
    "http": ("00:1E", "00:50", "HTTP", "1"),
    "https": ("00:21", "01:BB", "HTTPS", "1"),
    "samba": ("00:22", "01:BD", "Samba", "0"),
    "bulk": ("00:23", "FF:FF", "Bulk Service", "0"),
}
"""By type of service: its number, its usual port, its title, and if browsers can open it."""


def test_each_service_of_a_device_is_listed_with_its_type(headers: dict[str, str]) -> None:
    device = bound("acme", "S1")
    for number, kind in enumerate(SERVICES):
        service_addresses.assign(address(number), device, kind)
    shown = listed(headers)
    for place, (number, port, title, web) in zip(sorted(shown), SERVICES.values(), strict=True):
        assert shown[place]["devicetype"] == f"{number}:00:00:00:01:00:00:04:60:{port}:00:01:00:00"
        assert (shown[place]["servicetitle"], shown[place]["webenabled"]) == (title, web)
    assert len({service["hardwareid"] for service in shown.values()}) == 1


def test_own_devices_come_first_when_the_list_is_cut_off(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "LIST_LIMIT", 2)
    for number in (1, 2, 3):
        bound("acme", f"S{number}", number)
    service_addresses.assign(address(8), bound_by("ann", Mode.UNIQUE, "S9", 9))
    assert list(listed(headers)) == [address(8), address(9)]


def test_list_reads_100_devices_per_call_and_writes_nothing(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_BATCH", 2)
    for number in range(1, 6):
        bound("acme", f"S{number}", number)
    stands = everything()
    with calls.recording("remoteit.list_all") as invocation:
        answer = template.function("remoteit.list_all").load()(sample("remoteit.list_all", headers), None)
    assert json.loads(answer["body"])["length"] == 5
    assert invocation.dynamodb == ["BatchGetItem", *["Query"] * 3, *["BatchGetItem"] * 3]
    assert everything() == stands
