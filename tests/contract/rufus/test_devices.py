"""Bindings of a company: the holder is checked in each write, and lists are read in several round trips."""

import pytest

from bindery.aws import dynamodb
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items
from bindery.rufus import company_devices, device_lists
from tests import aws_calls
from tests.rufus import bound, page
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("companies")


@pytest.mark.parametrize("account", ["other", "acme2"])
def test_device_of_another_account_cannot_be_bound_or_shown(account: str) -> None:
    # A device's key includes its account, so another account cannot hold it. The binding is checked anyway.
    deviceid = bound()
    place = items.owner(identity.company_device_of("acme", deviceid))
    dynamodb.write(place.update(set={"holder": identity.account_holder(account)}))
    held = everything()
    for call, reason in (
        (bound, Reason.BOUND_BY_ANOTHER),
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
    expected = sorted(bound(f"S{number}") for number in range(9))
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
        bound(f"S{number}")
    for query in ({"page": 1, "limit": 2}, {"page": 3, "limit": 2}, {"page": 1, "limit": 6}):
        answer = page(query)
        assert answer.status == 200
        assert len(answer.json()["result"]) == query["limit"]
        assert answer.json()["pagination"] == {**query, "total": 6, "has_more": True}
    for query in ({"page": 4, "limit": 2}, {"page": 1, "limit": 7}, {"page": 2, "limit": 5}, {"page": 99, "limit": 1}):
        answer = page(query)
        assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: page"}')
