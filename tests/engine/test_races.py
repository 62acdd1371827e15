"""32 parallel callers and one device, through the real handlers, on an engine that supports parallel requests.

A device in an exclusive mode never has two owners, and every losing caller gets the documented refusal.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.connectivity import leases, service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, api_keys, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import forced_unbind
from bindery.registry import identity
from bindery.rufus import company_devices
from tests import openid
from tests.concurrency.races import CALLERS, at_once
from tests.conftest import clear_caches
from tests.http_api import Response, event, invoke
from tests.tables import stored

pytestmark = pytest.mark.usefixtures("engine")


def owners(device: str) -> list[dict[str, Any]]:
    return [item for item in stored(Table.BINDINGS) if item["pk"] == device and item["sk"] == "owner"]


@pytest.fixture
def bank(engine: object, environment: pytest.MonkeyPatch) -> Iterator[openid.Bank]:
    """Issue the customers' tokens."""
    with openid.Bank() as running:
        running.trusted(environment)
        clear_caches()
        yield running


def register(bank: openid.Bank, customer: str, identifier: str, nickname: str) -> Response:
    body = {"external-device-identifier": identifier, "operating-system": "iOS 9.x", "nickname": nickname}
    headers = {"authorization": f"bearer {bank.token(sub=customer)}"}
    request = event("POST", "/v1/device/owned-devices", headers=headers, body=json.dumps(body))
    return invoke("asseco.register_owned_device", request)


def test_parallel_registrations_share_no_nickname(bank: openid.Bank) -> None:
    answers = at_once(lambda number: register(bank, "customer", f"device{number}", "My Phone"))
    outcomes = Counter(answer.json().get("problem", answer.status) for answer in answers)
    assert outcomes == {200: 1, "nickname-not-unique": CALLERS - 1}
    assert (len(stored(Table.DEVICES)), len(stored(Table.BINDINGS))) == (1, 2)


def change(bank: openid.Bank, name: str, identifier: str, body: str = "") -> Response:
    """Call one of the operations that change a customer's device."""
    request = event(
        "PUT",
        f"/v1/device/owned-devices/{identifier}/x",
        headers={"authorization": f"bearer {bank.token(sub='customer')}"},
        body=body,
        path_parameters={"device-id": identifier},
    )
    return invoke(f"asseco.{name}", request)


def problems(answers: list[Response]) -> Counter[str | None]:
    return Counter(None if answer.status == 204 else answer.json()["problem"] for answer in answers)


def guards() -> dict[str, str]:
    """Return the reserved nicknames and the device of each."""
    return {item["sk"]: item["device"] for item in stored(Table.BINDINGS) if item["sk"].startswith("nickname#")}


def test_parallel_renames_to_one_nickname_have_one_winner(bank: openid.Bank) -> None:
    for number in range(CALLERS):
        register(bank, "customer", f"device{number}", f"phone {number}")
    answers = at_once(lambda number: change(bank, "set_nickname", f"device{number}", '{"nickname":"My Phone"}'))
    assert problems(answers) == {None: 1, "nickname-not-unique": CALLERS - 1}
    owned = [item for item in stored(Table.BINDINGS) if item["sk"] == "owner"]
    assert {f"nickname#{identity.folded(item['nickname'])}": item["pk"] for item in owned} == guards()


def test_parallel_renames_of_one_device_leave_one_nickname(bank: openid.Bank) -> None:
    register(bank, "customer", "phone", "My Phone")
    answers = at_once(lambda number: change(bank, "set_nickname", "phone", f'{{"nickname":"phone {number}"}}'))
    # A rename that conflicts with another one may be retried.
    assert problems(answers).keys() <= {None, "service-unavailable"}
    (owner,) = owners("asseco#phone")
    assert guards() == {f"nickname#{owner['nickname']}": "asseco#phone"}
    assert owner["nickname"].removeprefix("phone ") in {str(number) for number in range(CALLERS)}


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("block_device", "", "device-status-not-valid"),
        ("set_push_handle", '{"push-platform":"apns","pns-handle":"h"}', "valid-push-registration-exist"),
    ],
)
def test_identical_parallel_changes_are_made_once(name: str, body: str, problem: str, bank: openid.Bank) -> None:
    register(bank, "customer", "phone", "My Phone")
    answers = at_once(lambda _: change(bank, name, "phone", body))
    assert problems(answers) == {None: 1, problem: CALLERS - 1}


@pytest.fixture
def connecting(engine: object) -> Callable[[int], Response]:
    """Return a function that connects a user of the account, given by number, to the account's device."""
    accounts.create("acme", name="Acme")
    company_devices.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    service_addresses.assign("80:00:00:00:00:00:00:F1", identity.company_device("acme", "M", "S"))
    key = api_keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="d")
    for number in range(CALLERS):
        users.create(f"user{number}", "acme")
    tokens = [sessions.issue(f"user{number}", "remoteit", 600)[0] for number in range(CALLERS)]

    def connect(number: int) -> Response:
        headers = {"developerkey": key, "token": tokens[number]}
        body = '{"deviceaddress": "80:00:00:00:00:00:00:F1"}'
        return invoke("remoteit.connect_device", event("POST", "/apv/v27/device/connect", headers=headers, body=body))

    return connect


def named() -> set[str]:
    """Return the connections named in the device's binding."""
    (owner,) = owners(identity.company_device("acme", "M", "S"))
    return {name["id"] for name in owner["leases"].values()}


def test_binding_names_every_parallel_connection(
    connecting: Callable[[int], Response],
) -> None:
    answers = at_once(connecting)
    assert {answer.status for answer in answers} == {200}
    assert named() == {answer.json()["connectionid"] for answer in answers}


def test_connections_beyond_the_limit_of_a_binding_are_ended(
    connecting: Callable[[int], Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "CALLER_LIMIT", 8)
    answers = at_once(connecting)
    made = {answer.json()["connectionid"] for answer in answers if answer.status == 200}
    # A request that conflicts with others making room may be retried.
    assert {answer.status for answer in answers} <= {200, 503}
    assert len(named()) == 8
    assert named() <= made


def test_no_connection_survives_a_parallel_unbind(connecting: Callable[[int], Response]) -> None:
    device = identity.company_device("acme", "M", "S")

    def act(number: int) -> int:
        if number == CALLERS // 2:
            forced_unbind.end(device, "moved")
            return 200
        return connecting(number).status

    assert set(at_once(act)) <= {200, 403}
    company_devices.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    for lease in [item for item in stored(Table.BINDINGS) if item["sk"] != "owner"]:
        with pytest.raises(Refused):
            leases.authorize_client(lease["proxy"], "203.0.113.9")
    assert named() == set()


def test_parallel_key_creation_never_exceeds_the_limit() -> None:
    accounts.create("acme", name="Acme")

    def issue(number: int) -> Reason | None:
        try:
            api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))
        except Refused as fault:
            return fault.reason
        return None

    assert Counter(at_once(issue, 20)) == {None: api_keys.LIVE_LIMIT, Reason.LIMIT_REACHED: 20 - api_keys.LIVE_LIMIT}
    assert sum(item["sk"] == "key" for item in stored(Table.DIRECTORY)) == api_keys.LIVE_LIMIT


def test_parallel_rotations_create_one_successor_per_key() -> None:
    accounts.create("acme", name="Acme")
    ids = [api_keys.id_of(api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))) for number in range(10)]

    def act(number: int) -> Reason | None:
        try:
            if number < 20:
                api_keys.rotate(ids[number % 10], 3600)
            else:
                api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="new")
        except Refused as fault:
            return fault.reason
        return None

    outcomes = at_once(act, 25)

    (account,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "account"]
    live = account["live_keys"]
    assert len(live["rufus"]) == 10
    rotated = outcomes[:20].count(None)
    assert len(live["rotated"]) == rotated == len(set(ids) - live["rufus"].keys())
    # The other requests were too late, or had so many conflicts that they may be retried.
    assert set(outcomes[:20]) <= {None, Reason.STATUS_NOT_VALID, Reason.CONFLICT}
    assert set(outcomes[20:]) <= {Reason.LIMIT_REACHED, Reason.CONFLICT}
    assert sum(item["sk"] == "key" for item in stored(Table.DIRECTORY)) == 10 + rotated


def test_parallel_first_uses_of_a_key_are_recorded_once() -> None:
    accounts.create("acme", name="Acme")
    key = api_keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="a")

    def bind(number: int) -> int:
        body = json.dumps({"model": "M", "serial_number": str(number)})
        return invoke("rufus.bind_device", event("POST", "/v0/devices", headers={"api_key": key}, body=body)).status

    assert set(at_once(bind)) == {201}
    assert api_keys.show(api_keys.id_of(key))["last_used"] == clock.today().isoformat()
    assert len(stored(Table.DEVICES)) == CALLERS
