"""rufus: lists by page number and by cursor, also over several round trips and partitions, and the holder's check."""

import base64
from collections import Counter
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.registry import identity, items
from bindery.rufus import company_devices, device_lists
from bindery.security import secrets
from tests import aws_calls, rufus
from tests.http_api import Response, admin
from tests.invariants import broken
from tests.records import bound, developer
from tests.rufus import OTHER, bind, get, page, unbind
from tests.sample_requests import send
from tests.tables import everything, stored


@pytest.mark.parametrize("account", ["other", "acme2"])
def test_device_of_another_account_cannot_be_bound_or_shown(companies: None, account: str) -> None:
    # A device's key includes its account, so another account cannot hold it. The binding is checked anyway.
    deviceid = rufus.bound()
    place = items.owner(identity.company_device_of("acme", deviceid))
    dynamodb.write(place.update(set={"holder": identity.account_holder(account)}))
    held = everything()
    for call, reason in (
        (rufus.bound, Reason.BOUND_BY_ANOTHER),
        (lambda: company_devices.find("acme", deviceid), Reason.DEVICE_UNKNOWN),
        (lambda: company_devices.unbind("acme", deviceid), Reason.DEVICE_UNKNOWN),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.reason is reason
    assert everything() == held


@pytest.fixture
def two_a_round_trip(companies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit each page to two devices, as if they filled a megabyte."""
    query = aws_calls.real("Query")
    aws_calls.replace(monkeypatch, "Query", lambda **request: query(**request | {"Limit": min(request["Limit"], 2)}))


@pytest.mark.usefixtures("two_a_round_trip")
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
def test_list_of_several_round_trips_is_counted_completely(limit: int) -> None:
    expected = sorted(rufus.bound(f"S{number}") for number in range(9))
    shown: list[str] = []
    for number in range(1, 9 // limit + 3):
        answer = page({"page": number, "limit": limit}).json()
        shown += [device["deviceid"] for device in answer["result"]]
        assert answer["pagination"]["total"] == 9
        assert answer["pagination"]["has_more"] == (number * limit < 9)
    assert sorted(shown) == expected


@pytest.mark.usefixtures("two_a_round_trip")
def test_list_is_read_only_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lists, "LIST_ROUND_TRIPS", 3)
    for number in range(9):
        rufus.bound(f"S{number}")
    for query in ({"page": 1, "limit": 2}, {"page": 3, "limit": 2}, {"page": 1, "limit": 6}):
        answer = page(query)
        assert answer.status == 200
        assert len(answer.json()["result"]) == query["limit"]
        assert answer.json()["pagination"] == {**query, "total": 6, "has_more": True}
    for query in ({"page": 4, "limit": 2}, {"page": 1, "limit": 7}, {"page": 2, "limit": 5}, {"page": 99, "limit": 1}):
        answer = page(query)
        assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: page"}')


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


NOW = 1795176000_007


@pytest.fixture
def three(companies: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Bind three devices and return their ids in order of binding."""
    made = []
    for number in range(3):
        monkeypatch.setattr(clock, "now", lambda number=number: NOW + number)
        made.append(rufus.bound(f"S{number}"))
    return made


def at(cursor: str, limit: int = 2, **key: str) -> Response:
    return page({"cursor": cursor, "limit": limit}, **key)


def ids(answer: Response) -> list[str]:
    return [device["deviceid"] for device in answer.json()["result"]]


def test_list_by_cursor_is_exact(three: list[str]) -> None:
    numbered = page({"limit": 2, "page": 1})
    first = at("")
    cursor = first.json()["pagination"]["cursor"]
    assert (first.status, first.body) == (
        200,
        numbered.body.replace(
            '{"page":1,"limit":2,"total":3,"has_more":true}', f'{{"limit":2,"has_more":true,"cursor":"{cursor}"}}'
        ),
    )
    assert at(" ").body == first.body
    last = at(f" {cursor} ")
    assert last.json()["pagination"] == {"limit": 2, "has_more": False, "cursor": None}
    assert last.json()["result"] == page({"limit": 2, "page": 2}).json()["result"]


def test_page_that_ends_with_the_list_has_no_cursor(three: list[str]) -> None:
    answer = at("", 3)
    assert (ids(answer), answer.json()["pagination"]["cursor"]) == (three, None)
    assert at("", key=OTHER).json()["pagination"] == {"limit": 2, "has_more": False, "cursor": None}


def test_unbound_device_neither_shifts_nor_ends_the_list(three: list[str]) -> None:
    cursor = at("", 1).json()["pagination"]["cursor"]
    unbind(three[0])
    assert ids(at(cursor)) == three[1:]


def altered(cursor: str, old: str, new: str) -> str:
    text = identity.from_opaque(cursor)
    assert old in text
    return identity.opaque(text.replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        lambda cursor: "x",
        lambda cursor: cursor[:-1],
        lambda cursor: cursor + "=",
        lambda cursor: cursor.swapcase(),
        lambda cursor: cursor + "é",
        lambda cursor: "c" * 1025,
        lambda cursor: altered(cursor, "acme", "other"),
        lambda cursor: altered(cursor, " 0 ", " 1 "),
        lambda cursor: altered(cursor, " ", ""),
        lambda cursor: identity.opaque(identity.from_opaque(cursor).partition(" ")[2]),
        lambda cursor: base64.urlsafe_b64encode(b"{}").decode(),
    ],
)
def test_altered_cursor_is_400(three: list[str], change: Any) -> None:
    answer = at(change(at("").json()["pagination"]["cursor"]))
    assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: cursor"}')


def test_cursor_of_another_account_is_400(three: list[str]) -> None:
    rufus.bound("theirs", "other")
    cursor = at("", 1).json()["pagination"]["cursor"]
    answer = at(cursor, key=OTHER)
    assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: cursor"}')


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("cursor=&page=1", "page, cursor"),
        ("cursor=x&page=2", "page, cursor"),
        ("cursor=&cursor=", "cursor"),
        ("cursor=&limit=0", "limit"),
    ],
)
def test_cursor_goes_with_one_limit_and_no_page(companies: None, query: str, parameters: str) -> None:
    answer = page(query)
    assert (answer.status, answer.body) == (400, f'{{"description":"Invalid parameter: {parameters}"}}')


def test_cursor_reveals_no_deviceid(three: list[str]) -> None:
    text = identity.from_opaque(at("", 1).json()["pagination"]["cursor"])
    assert three[0].lower() not in text.lower()
    assert secrets.fingerprint(three[0]) in text


@pytest.mark.parametrize("parts", [1, 16])
def test_page_takes_one_query_and_one_more_at_the_end_of_a_part(
    companies: None, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parts > 1:
        accounts.spread("acme", parts)
    for number in range(40):
        rufus.bound(f"T{number}", parts=parts)
    calls: list[str] = []
    monkeypatch.setattr(aws_calls, "before", [lambda service, operation, request: calls.append(operation)])
    cursor = ""
    while cursor is not None:
        calls.clear()
        answer = at(cursor, 7)
        assert 1 <= calls.count("Query") <= (1 if parts == 1 else 2)
        cursor = answer.json()["pagination"]["cursor"]
