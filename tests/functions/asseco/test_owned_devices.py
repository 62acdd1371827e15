"""Registering and unregistering: what others change between a request's read and its write, and lost answers."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from bindery import devices, dynamo, identity
from bindery.bindings import customer, record
from bindery.bindings.customer import Status
from bindery.dynamo import Table, Update
from tests import calls, races
from tests.http_api import Response, event, invoke
from tests.openid import CUSTOMER, OTHER, Bank
from tests.tables import everything, items

IMEI = "990000862471854"
DEVICE = identity.customer_device(IMEI)
GIVEN = {
    "nickname": "My Phone",
    "kind": "imei",
    "operating_system": "iOS 9.x",
    "brand_name": None,
    "model_name": None,
    "push_platform": None,
    "push_handle": None,
}


@pytest.fixture(autouse=True)
def bank(registry: None, environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


def register(bank: Bank, nickname: str = "My Phone") -> Response:
    body = json.dumps({"imei": IMEI, "nickname": nickname, "operating-system": "iOS 9.x"})
    headers = {"authorization": f"Bearer {bank.token()}"}
    return invoke("asseco.register_owned_device", event("POST", "/v1/device/owned-devices", headers=headers, body=body))


def unregister(bank: Bank) -> Response:
    headers = {"authorization": f"Bearer {bank.token()}"}
    path = f"/v1/device/devices/{IMEI}/unregister"
    request = event("POST", path, headers=headers, path_parameters={"imei": IMEI})
    return invoke("asseco.unregister_device", request)


def entered(who: str = CUSTOMER, identifier: str = IMEI, **changes: Any) -> None:
    customer.register(who, identifier, **{**GIVEN, **changes})


def block() -> None:
    dynamo.write(Update(record.owner(DEVICE), "SET #status = :blocked", {":blocked": Status.BLOCKED}))


def rename() -> None:
    dynamo.write(Update(record.owner(DEVICE), "SET #nickname = :nickname", {":nickname": "Renamed"}))


def banned() -> None:
    dynamo.write(devices.seen(DEVICE, "asseco"))
    devices.ban(DEVICE, "stolen")


def passed_on() -> None:
    customer.unregister(CUSTOMER, IMEI)
    entered(OTHER)


@pytest.mark.parametrize(
    ("happen", "problem"),
    [
        (entered, "imei-not-unique"),
        (lambda: entered(OTHER), "imei-not-unique"),
        (lambda: entered(identifier="another"), "nickname-not-unique"),
        (banned, "device-status-not-valid"),
    ],
)
def test_a_registration_that_comes_second_is_refused_and_leaves_nothing(
    happen: Callable[[], object], problem: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    answer = register(bank)
    assert (answer.status, answer.json()["problem"]) == (440, problem)
    assert [everything()] == after


@pytest.mark.parametrize(
    ("happen", "status", "problem"),
    [
        (lambda: customer.unregister(CUSTOMER, IMEI), 440, "device-status-not-valid"),
        (passed_on, 404, "device-not-exist"),
        (rename, 503, "service-unavailable"),
    ],
)
def test_a_device_that_changed_since_it_was_read_is_not_unregistered(
    happen: Callable[[], object], status: int, problem: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
):
    entered()
    after: list[Any] = []
    races.before(monkeypatch, "transact_write_items", lambda: (happen(), after.append(everything())))
    answer = unregister(bank)
    assert (answer.status, answer.json()["problem"]) == (status, problem)
    assert [everything()] == after


def test_a_device_that_was_blocked_meanwhile_is_unregistered(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    entered()
    races.before(monkeypatch, "transact_write_items", block)
    assert unregister(bank).status == 202
    assert [item["status"] for item in items(Table.BINDINGS)] == ["unregistered"]


def test_a_registration_whose_answer_was_lost_is_repeated_as_the_same_one(bank: Bank):
    answered: dict[bytes, Any] = {}
    sent: list[bytes] = []

    def lose(response: Any, **_: Any) -> int | None:
        if answered:
            return None
        answered[sent[0]] = response[0]
        return 0

    def answer_alike(request: Any, **_: Any) -> Any:
        # As DynamoDB does and moto does not: the same request under the same token is answered as the first time.
        sent.append(request.body)
        return answered.get(request.body)

    events = dynamo.client().meta.events
    events.register_first("needs-retry.dynamodb.TransactWriteItems", lose)
    events.register_first("before-send.dynamodb.TransactWriteItems", answer_alike)
    assert register(bank).body == f'{{"id":"{IMEI}","CreatedRecordStatus":"active"}}'
    assert len(sent) == 2
    assert json.loads(sent[1])["ClientRequestToken"]
    assert len(items(Table.BINDINGS)) == 2


def test_what_could_not_be_written_is_our_failure(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    races.before(monkeypatch, "transact_write_items", fail)
    before = everything()
    answer = register(bank)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body == '{"problem":"service-unavailable","message":"Service unavailable, try again","details":null}'
    assert everything() == before


def test_a_bug_is_500_and_tells_nothing(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(customer, "register", lambda *_, **__: 1 / 0)
    answer = register(bank)
    assert answer.status == 500
    assert answer.body == '{"problem":"internal-error","message":"Internal server error","details":null}'


def test_a_list_is_bounded_to_two_round_trips(bank: Bank, monkeypatch: pytest.MonkeyPatch):
    for number in range(5):
        entered(identifier=f"{number}", nickname=f"{number}")
    query = dynamo.client().query
    monkeypatch.setattr(dynamo.client(), "query", lambda **request: query(**request, Limit=2))
    with calls.recording("asseco.list_owned_devices") as invocation:
        assert [device.identifier for device in customer.owned(CUSTOMER)] == ["0", "1", "2", "3"]
    assert invocation.dynamodb == ["Query", "Query"]
