"""remoteit: operations on services, of which each has a service address."""

from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import access, leases, service_addresses
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, products, sessions, users
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests.http_api import Response
from tests.records import bound, connection, developer, user
from tests.sample_requests import send
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

FAR, DOOR, SHELL, GATE, SHARED = (f"80:00:00:00:00:00:00:F{number}" for number in range(1, 6))


def refusal(reason: str) -> str:
    return f'{{"status":"false","reason":"{reason}","code":"GENERAL_ERROR"}}'


@pytest.fixture(autouse=True)
def ann(registry: None) -> dict[str, str]:
    """Create Ann of acme, whose first device has two services and whose second has one that is inactive.

    Another account's device has the address FAR.
    """
    for account in ("acme", "other"):
        accounts.create(account, name=account)
    users.create("ann", "acme", email="ann@example.com")
    bound("other", "M", "S1", FAR)
    service_addresses.assign(SHELL, bound("acme", "M", "S1", DOOR, alias="Front Door"), "ssh")
    devices.deactivate(bound("acme", "M", "S2", GATE, alias="Gate \u00c4"))
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


def test_user_disabled_meanwhile_leaves_no_name() -> None:
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
