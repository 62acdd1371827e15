"""Unbinding: concurrent changes and lost responses. Listing: the number of reads."""

import json
from typing import Any, NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices
from tests import calls
from tests.concurrency.races import before, lose_first_response
from tests.http_api import Response, event, invoke
from tests.tables import everything, stored
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

KEY = "ror-ae4fc6c19681a20fad30"
NOTHING: dict[str, None] = {"alias": None, "firmware": None, "kind": None}


@pytest.fixture(autouse=True)
def _account(registry: None) -> None:
    accounts.create("acme", name="Acme")
    api_keys.issue("acme", Kind.RUFUS, Grant.READ_WRITE, alias="all", unbind=True, chosen=KEY)


def bind(serial: str = "S") -> str:
    return company_devices.bind("acme", "M", serial, **NOTHING)


def unbind(deviceid: str) -> Response:
    request = event(
        "DELETE", f"/v0/devices/{deviceid}", headers={"api_key": KEY}, path_parameters={"deviceid": deviceid}
    )
    return invoke("rufus.unbind_device", request)


def page(**query: int) -> Response:
    return invoke("rufus.list_devices", event("GET", "/v0/devices", headers={"api_key": KEY}, query=query))


def unreachable() -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://secret.internal")


def test_second_concurrent_unbind_is_404(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bind()
    after: list[Any] = []
    before(
        monkeypatch,
        "transact_write_items",
        lambda: (company_devices.unbind("acme", deviceid), after.append(everything())),
    )
    answer = unbind(deviceid)
    assert (answer.status, answer.json()) == (404, {"description": "Device not found", "deviceid": deviceid})
    assert [everything()] == after


def test_device_bound_again_concurrently_is_unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bind()

    def anew() -> None:
        company_devices.unbind("acme", deviceid)
        bind()

    before(monkeypatch, "transact_write_items", anew)
    assert (unbind(deviceid).status, stored(Table.BINDINGS)) == (200, [])


def test_concurrent_ban_is_kept_and_the_device_is_unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bind()
    device = identity.company_device_of("acme", deviceid)
    before(monkeypatch, "transact_write_items", lambda: devices.ban(device, "stolen"))
    assert (unbind(deviceid).status, stored(Table.BINDINGS)) == (200, [])
    assert [item["ban_reason"] for item in stored(Table.DEVICES)] == ["stolen"]


def test_retry_of_unbind_after_lost_response_is_idempotent() -> None:
    deviceid = bind()
    sent = lose_first_response("TransactWriteItems")
    assert unbind(deviceid).status == 200
    assert len(sent) == 2
    assert json.loads(sent[1])["ClientRequestToken"]
    assert stored(Table.BINDINGS) == []


def test_device_of_another_account_cannot_be_bound_or_shown() -> None:
    # A device's key includes its account, so another account cannot hold it. The binding is checked anyway.
    deviceid = bind()
    place = items.owner(identity.company_device_of("acme", deviceid))
    dynamodb.write(place.update(set={"holder": identity.account_holder("other")}))
    held = everything()
    for call, reason in (
        (bind, Reason.BOUND_BY_ANOTHER),
        (lambda: company_devices.find("acme", deviceid), Reason.DEVICE_UNKNOWN),
        (lambda: company_devices.unbind("acme", deviceid), Reason.DEVICE_UNKNOWN),
    ):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.reason is reason
    assert everything() == held


@pytest.mark.parametrize("method", ["get_item", "transact_write_items"])
def test_unreachable_table_is_503_and_the_device_stays_bound(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deviceid = bind()
    held = everything()
    before(monkeypatch, method, unreachable)
    answer = unbind(deviceid)
    assert (answer.status, answer.body, answer.headers["Retry-After"]) == (
        503,
        '{"description":"Service unavailable, try again"}',
        "1",
    )
    assert everything() == held


@pytest.mark.parametrize(
    ("name", "method", "deviceid", "expected"),
    [
        ("rufus.get_device", "GET", True, ["GetItem", "GetItem"]),
        ("rufus.unbind_device", "DELETE", True, ["GetItem", "TransactWriteItems"]),
        ("rufus.list_devices", "GET", False, ["GetItem", "Query"]),
    ],
)
def test_each_operation_takes_two_round_trips(name: str, method: str, deviceid: bool, expected: list[str]) -> None:
    parameters = {"deviceid": bind()} if deviceid else {}
    request = event(method, "/v0/devices", headers={"api_key": KEY}, path_parameters=parameters)
    with calls.recording(name) as invocation:
        template.function(name).load()(request, None)
    assert invocation.dynamodb == expected


@pytest.fixture
def two_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit each page to two devices, as if they filled a megabyte."""
    query = dynamodb.client().query
    monkeypatch.setattr(
        dynamodb.client(), "query", lambda **request: query(**request | {"Limit": min(request["Limit"], 2)})
    )


@pytest.mark.usefixtures("two_a_round_trip")
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
def test_list_of_several_round_trips_is_counted_completely(limit: int) -> None:
    bound = sorted(bind(f"S{number}") for number in range(9))
    shown: list[str] = []
    for number in range(1, 9 // limit + 3):
        answer = page(page=number, limit=limit).json()
        shown += [device["deviceid"] for device in answer["result"]]
        assert answer["pagination"]["total"] == 9
        assert answer["pagination"]["has_more"] == (number * limit < 9)
    assert sorted(shown) == bound


@pytest.mark.usefixtures("two_a_round_trip")
def test_list_is_read_only_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company_devices, "LIST_ROUND_TRIPS", 3)
    for number in range(9):
        bind(f"S{number}")
    for query in ({"page": 1, "limit": 2}, {"page": 3, "limit": 2}, {"page": 1, "limit": 6}):
        answer = page(**query)
        assert answer.status == 200
        assert len(answer.json()["result"]) == query["limit"]
        assert answer.json()["pagination"] == {**query, "total": 6, "has_more": True}
    for query in ({"page": 4, "limit": 2}, {"page": 1, "limit": 7}, {"page": 2, "limit": 5}, {"page": 99, "limit": 1}):
        answer = page(**query)
        assert (answer.status, answer.body) == (400, '{"description":"Invalid parameter: page"}')
