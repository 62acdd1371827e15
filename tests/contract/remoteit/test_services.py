"""remoteit: operations on services, which have a service address each, and the list of those a user can connect to."""

import hashlib
import json
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import access, leases, service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, products, sessions, users
from bindery.quectel import binding, user_devices, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests import calls, quectel, records
from tests.http_api import Response
from tests.records import connection, developer, user
from tests.sample_requests import sample, send
from tests.tables import everything
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

FAR, DOOR, SHELL, GATE, SHARED = (f"80:00:00:00:00:00:00:F{number}" for number in range(1, 6))


def refusal(reason: str) -> str:
    return f'{{"status":"false","reason":"{reason}","code":"GENERAL_ERROR"}}'


@pytest.fixture
def ann(registry: None) -> dict[str, str]:
    """Create Ann of acme, whose first device has two services and whose second has one that is inactive.

    Another account's device has the address FAR.
    """
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    users.create("ann", "acme", email="ann@example.com")
    records.bound("other", "M", "S1", FAR)
    service_addresses.assign(SHELL, records.bound("acme", "M", "S1", DOOR, alias="Front Door"), "ssh")
    devices.deactivate(records.bound("acme", "M", "S2", GATE, alias="Gate \u00c4"))
    return developer("ann", "acme")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, [DOOR, SHELL, GATE]),
        ({"devicestate": "all"}, [DOOR, SHELL, GATE]),
        ({"devicename": " ", "devicestate": None}, [DOOR, SHELL, GATE]),
        ({"devicename": "front d", "devicestate": "all"}, [DOOR, SHELL]),
        ({"devicename": "gate a\u0308"}, [GATE]),
        ({"devicestate": "inactive"}, [GATE]),
        ({"devicename": "gate", "devicestate": " active "}, []),
    ],
)
def test_services_are_found_by_part_of_their_name(body: Any, found: list[str], ann: dict[str, str]) -> None:
    answer = send("remoteit.find_by_name", ann, body=body)
    listed = send("remoteit.list_all", ann).json()
    expected = [device for device in listed["devices"] if device["deviceaddress"] in found]
    assert answer.json() == listed | {"devices": expected, "length": len(found)}


@pytest.mark.parametrize("state", ["online", 1, []])
def test_unknown_state_is_refused(state: Any, ann: dict[str, str]) -> None:
    answer = send("remoteit.find_by_name", ann, body={"devicestate": state})
    assert (answer.status, answer.body) == (400, refusal("invalid devicestate"))


def test_services_are_counted(ann: dict[str, str]) -> None:
    assert send("remoteit.count_devices", ann).body == (
        '{"status":"true","mine":3,"active":2,"friends":0,"services":3,"preregistered":0,"registered":3,"activated":3}'
    )


def test_metadata_groups_the_services_of_a_device(ann: dict[str, str]) -> None:
    before = everything()
    hardware = {
        device["deviceaddress"]: device["hardwareid"] for device in send("remoteit.list_all", ann).json()["devices"]
    }
    assert hardware[DOOR] == hardware[SHELL] != hardware[GATE]
    names = [f"{name}{letter}" for name in ("status", "category") for letter in "ABCDE"]
    answer = send("remoteit.list_metadata", ann)
    assert answer.json() == {
        "status": "true",
        "devices": {place: {"hardwareid": own} | dict.fromkeys(names, "") for place, own in hardware.items()},
    }
    assert everything() == before


def aliases(headers: dict[str, str]) -> dict[str, str]:
    devices = send("remoteit.list_all", headers).json()["devices"]
    return {device["deviceaddress"]: device["devicealias"] for device in devices}


def rename(headers: dict[str, str], address: Any = DOOR, alias: Any = "Web") -> Response:
    return send("remoteit.rename_device", headers, body={"deviceaddress": address, "devicealias": alias})


def test_each_user_names_a_service_for_themselves(ann: dict[str, str]) -> None:
    users.create("bob", "acme")
    bob = {**ann, "token": sessions.issue("bob", "remoteit", 60)[0]}
    named = {DOOR: "Front Door", SHELL: "Front Door", GATE: "Gate \u00c4"}
    answer = rename(ann, SHELL.lower(), " Shell ")
    assert (answer.status, answer.body) == (200, '{"status":"true"}')
    rename(bob, SHELL, "Bob's")
    rename(ann, GATE, "Old")
    rename(ann, GATE, "New")
    assert aliases(ann) == named | {SHELL: "Shell", GATE: "New"}
    assert aliases(bob) == named | {SHELL: "Bob's"}


@pytest.mark.parametrize(
    ("address", "alias", "status", "reason"),
    [
        (" ", None, 400, "missing deviceaddress, devicealias"),
        ("80:00", "Web", 400, "invalid deviceaddress"),
        (DOOR, "x" * 129, 400, "invalid devicealias"),
        (FAR, "Web", 403, f"[0405] {FAR} is not available for public access and is not shared with you."),
    ],
)
def test_refused_name_changes_nothing(address: Any, alias: Any, status: int, reason: str, ann: dict[str, str]) -> None:
    before = everything()
    answer = rename(ann, address, alias)
    assert (answer.status, answer.body) == (status, refusal(reason))
    assert everything() == before


def test_user_disabled_meanwhile_leaves_no_name(ann: dict[str, str]) -> None:
    known, place = user("ann"), service_addresses.find(DOOR)
    users.set_enabled("ann", False)
    before = everything()
    with pytest.raises(Refused) as caught:
        access.rename(known, DOOR, place, "Web", used=None)
    assert caught.value.reason is Reason.TOKEN_INVALID
    assert everything() == before


def delete(headers: dict[str, str], address: str = SHELL) -> Response:
    return send("remoteit.delete_device", headers, path={"address": address})


def test_deleted_service_is_gone_and_its_device_stays_bound(ann: dict[str, str]) -> None:
    made = connection("ann", SHELL)
    answer = delete(ann, SHELL.lower())
    assert (answer.status, answer.body) == (200, '{"status":"true","reason":""}')
    assert list(aliases(ann)) == [DOOR, GATE]
    with pytest.raises(Refused) as caught:
        leases.admit(made.label, "203.0.113.9")
    assert caught.value.reason is Reason.NOT_SHARED
    service_addresses.assign(SHELL, identity.company_device("acme", "M", "S2"))
    assert list(aliases(ann)) == [DOOR, SHELL, GATE]


@pytest.mark.parametrize("address", [FAR, "80:00:00:00:00:00:00:F9", "80:00", SHARED])
def test_service_that_the_user_does_not_hold_alone_is_not_deleted(address: str, ann: dict[str, str]) -> None:
    products.create("MULTI", name="Lock", module_type="M", mode=Mode.MULTI)
    service_addresses.assign(SHARED, devices.manufacture("MULTI", "S1", device_key="KEY00001"))
    before = everything()
    answer = delete(ann, address)
    assert (answer.status, answer.body) == (404, refusal("[0861] no such service"))
    assert everything() == before


def test_recipient_of_a_share_cannot_delete_the_service(ann: dict[str, str]) -> None:
    device = identity.company_device("other", "M", "S1")
    dynamodb.write(items.owner(device).update(set={"shares": {"ann": 4_000_000_000}}))
    before = everything()
    assert delete(ann, FAR).status == 404
    assert everything() == before
    assert FAR not in aliases(ann)
    assert connection("ann", FAR).address == FAR


NOW = 1795176000_250
LATER = 4_000_000_000
MEMBERS = [
    *("deviceaddress", "devicealias", "devicestate", "devicetype", "devicelastip", "lastcontacted", "lastinternalip"),
    *("createdate", "ownerusername", "servicetitle", "shared", "webenabled", "weburi", "localurl", "georegion"),
    *("webviewerurl", "scripting", "hardwareid"),
]


@pytest.fixture
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


def listed(headers: dict[str, str]) -> dict[str, dict[str, str]]:
    answer = send("remoteit.list_all", headers)
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
    answer = send("remoteit.list_all", headers)
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
    (shown,) = send("remoteit.list_all", headers).json()["devices"]
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
