"""remoteit: operations on services, of which each has a service address."""

from typing import Any

import pytest

from bindery.connectivity import service_addresses
from bindery.directory import accounts, users
from bindery.registry import devices
from tests.records import bound, developer
from tests.sample_requests import send
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

DOOR, SHELL, GATE = (f"80:00:00:00:00:00:00:F{number}" for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def ann(registry: None) -> dict[str, str]:
    """Create Ann of acme, whose first device has two services and whose second has one that is inactive."""
    accounts.create("acme", name="Acme")
    users.create("ann", "acme", email="ann@example.com")
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
    refusal = '{"status":"false","reason":"invalid devicestate","code":"GENERAL_ERROR"}'
    assert (answer.status, answer.body) == (400, refusal)


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
