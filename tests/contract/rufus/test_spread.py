"""rufus: an account whose device list is spread over several partitions answers like any other."""

from collections import Counter

import pytest

from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import accounts, users
from bindery.registry import identity
from tests.http_api import admin
from tests.invariants import broken
from tests.records import bound, developer
from tests.rufus import bind, get, page, unbind
from tests.sample_requests import send
from tests.tables import everything, stored

ADDRESS = "80:00:00:00:00:00:00:F1"
MODEL = "Model X1"


def holders() -> Counter[str]:
    return Counter(item["holder"] for item in stored(Table.BINDINGS) if item["sk"] == "owner")


def create(serial: str) -> str:
    answer = bind({"model": MODEL, "serial_number": serial})
    assert answer.status == 201
    return str(answer.json()["deviceid"])


@pytest.fixture
def spread(companies: None) -> list[str]:
    """Bind devices before and after an account's list is spread, and return their ids in order of binding."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        for number in range(12):
            patch.setattr(clock, "now", lambda number=number: 1795176000_000 + number)
            if number in (3, 6):
                accounts.spread("acme", {3: 2, 6: 4}[number])
            made.append(create(f"S{number}"))
    return made


def test_new_devices_are_spread_and_bound_ones_stay(spread: list[str]) -> None:
    before = holders()
    assert before.keys() == {"account#acme", "account#acme#1", "account#acme#2", "account#acme#3"}
    accounts.spread("acme", 16)
    assert [create(f"S{number}") for number in range(12)] == spread
    assert holders() == before
    assert broken(everything()) == []


def test_spread_device_is_shown_unbound_and_bound_again(spread: list[str]) -> None:
    assert [get(deviceid).json()["result"]["serial_number"] for deviceid in spread] == [f"S{n}" for n in range(12)]
    assert {unbind(deviceid).status for deviceid in spread} == {200}
    assert stored(Table.BINDINGS) == []
    assert [create(f"S{number}") for number in range(12)] == spread


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 100])
def test_pages_of_both_kinds_cover_a_spread_list_once(limit: int, spread: list[str]) -> None:
    by_number: list[str] = []
    for number in range(1, 14):
        answer = page({"page": number, "limit": limit}).json()
        by_number += [device["deviceid"] for device in answer["result"]]
        assert answer["pagination"]["total"] == 12
        assert answer["pagination"]["has_more"] == (number * limit < 12)
    by_cursor, cursor = list[str](), ""
    while cursor is not None:
        answer = page({"cursor": cursor, "limit": limit}).json()
        assert len(answer["result"]) <= limit
        by_cursor += [device["deviceid"] for device in answer["result"]]
        cursor = answer["pagination"]["cursor"]
    assert by_cursor == by_number
    # In order of binding within each part.
    assert by_number == sorted(spread, key=lambda deviceid: (part_of(deviceid), spread.index(deviceid)))


def test_users_of_a_spread_account_see_and_reach_its_devices(spread: list[str]) -> None:
    users.create("ada", "acme")
    elsewhere = next(number for number, deviceid in enumerate(spread) if part_of(deviceid) == "account#acme#3")
    bound("acme", MODEL, f"S{elsewhere}", address=ADDRESS)
    caller = developer("ada", "acme")
    (device,) = send("remoteit.list_all", caller).json()["devices"]
    assert (device["deviceaddress"], device["ownerusername"]) == (ADDRESS, "ada")
    body = {"deviceaddress": ADDRESS}
    assert send("remoteit.connect_device", caller, body=body).status == 200
    users.create("eve", "other")
    assert send("remoteit.connect_device", developer("eve", "other"), body=body).status == 403


def part_of(deviceid: str) -> str:
    device = identity.company_device_of("acme", deviceid)
    return next(str(item["holder"]) for item in stored(Table.BINDINGS) if item["pk"] == device)


def test_operators_see_the_account_and_can_unbind(spread: list[str]) -> None:
    deviceid = next(each for each in spread if part_of(each) == "account#acme#3")
    path = f"devices/{identity.opaque(identity.company_device_of('acme', deviceid))}"
    assert admin("devices", "GET", path).json()["binding"]["holder"] == {"kind": "account", "id": "acme"}
    assert admin("devices", "POST", f"{path}/unbind", {"reason": "sold"}).json()["binding"] is None
    assert get(deviceid).status == 404
