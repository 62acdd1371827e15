"""Thirty-two callers at once, one device: through the real handlers, on an engine that is safe to call at once.

A device in an exclusive mode never has two owners, whatever runs at once, and every loser gets the refusal that its
document names.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from bindery import clock, connections, devices, identity, sessions
from bindery.bindings import company, holding
from bindery.directory import accounts, addresses, domains, keys, products, users
from bindery.directory.keys import Grant, Kind
from bindery.directory.products import Mode
from bindery.dynamo import Table
from bindery.faults import Fault, Reason
from tests import openid
from tests.conftest import forget
from tests.http_api import Response, event, invoke
from tests.tables import items

CALLERS = 32
Outcome = TypeVar("Outcome")

pytestmark = pytest.mark.usefixtures("engine")


def at_once(act: Callable[[int], Outcome], callers: int = CALLERS) -> list[Outcome]:
    """What `act` gives to each caller's number, all started at the same moment."""
    barrier = Barrier(callers)

    def start(number: int) -> Outcome:
        barrier.wait(30)
        return act(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(start, range(callers)))


def bindings() -> list[dict[str, Any]]:
    """What stands under devices: not what users hold, in partitions of their own."""
    return [item for item in items(Table.BINDINGS) if not item["sk"].startswith("device#")]


def places() -> list[str]:
    """Who holds a device, by their own partitions."""
    return [item["pk"] for item in items(Table.BINDINGS) if item["sk"].startswith("device#")]


def owners(device: str) -> list[dict[str, Any]]:
    return [item for item in items(Table.BINDINGS) if item["pk"] == device and item["sk"] == "owner"]


def test_rufus_retries_at_once_are_one_device_with_one_deviceid() -> None:
    accounts.create("acme", name="Acme")
    key = keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="a")
    body = '{"model": "Model X1", "serial_number":"DEVICE-123"}'

    request = event("POST", "/v0/devices", headers={"api_key": key}, body=body)

    answers = at_once(lambda _: invoke("rufus.bind_device", request))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert len(items(Table.DEVICES)) == len(items(Table.BINDINGS)) == 1


def test_of_those_who_unbind_a_rufus_device_at_once_one_does_and_the_others_are_told_that_it_is_gone() -> None:
    accounts.create("acme", name="Acme")
    key = keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="a", unbind=True)
    deviceid = company.bind("acme", "Model X1", "DEVICE-123", alias=None, firmware=None, kind=None)
    request = event(
        "DELETE", f"/v0/devices/{deviceid}", headers={"api_key": key}, path_parameters={"deviceid": deviceid}
    )

    answers = at_once(lambda _: invoke("rufus.unbind_device", request))

    assert Counter(answer.status for answer in answers) == {200: 1, 404: CALLERS - 1}
    assert items(Table.BINDINGS) == []


@pytest.fixture
def quectel(engine: object) -> list[str]:
    """Tokens of thirty-two users; a device of a product in each mode."""
    accounts.create("acme", name="Acme")
    domains.create("domain")
    for mode in Mode:
        products.create(mode.name, name="Product", module_type="M", mode=mode)
        devices.manufacture(mode.name, "SN1", device_key="ABCD1234")
    for number in range(CALLERS):
        users.create(f"user{number}", "acme", domain="domain")
    return [sessions.issue(f"user{number}", "quectel", 600)[0] for number in range(CALLERS)]


def bind_sn(mode: Mode, token: str) -> Any:
    path = "/v2/binding/enduserapi/bindDeviceSn"
    request = event("POST", path, headers={"authorization": token}, query={"pk": mode.name, "sn": "SN1"})
    return invoke("quectel.bind_device_sn", request).json()


def test_of_users_binding_one_device_in_unique_mode_one_wins(quectel: list[str]) -> None:
    answers = at_once(lambda number: bind_sn(Mode.UNIQUE, quectel[number]))
    assert Counter(answer["code"] for answer in answers) == {200: 1, 5412: CALLERS - 1}
    (owner,) = owners(identity.manufactured_device("UNIQUE", "SN1"))
    winner = next(number for number, answer in enumerate(answers) if answer["code"] == 200)
    assert owner["holder"] == f"user#user{winner}"


@pytest.mark.parametrize("mode", Mode)
def test_of_one_users_requests_for_one_device_one_binds_and_the_others_find_it_bound(
    quectel: list[str], mode: Mode
) -> None:
    answers = at_once(lambda _: bind_sn(mode, quectel[0]))
    assert Counter(answer["code"] for answer in answers) == {200: 1, 5049: CALLERS - 1}
    assert len(bindings()) == len(places()) == 1


def test_of_users_binding_one_device_in_rotating_mode_one_holds_it_at_the_end(quectel: list[str]) -> None:
    answers = at_once(lambda number: bind_sn(Mode.ROTATING, quectel[number]))
    # Whoever met another's bind may try again.
    assert {200} <= {answer["code"] for answer in answers} <= {200, 5048}
    (owner,) = bindings()
    assert places() == [owner["holder"]]
    holder = int(owner["holder"].removeprefix("user#user"))
    assert bind_sn(Mode.ROTATING, quectel[holder])["code"] == 5049
    assert bind_sn(Mode.ROTATING, quectel[holder - 1])["code"] == 200


def test_users_of_a_device_in_multi_mode_all_bind_it(quectel: list[str]) -> None:
    answers = at_once(lambda number: bind_sn(Mode.MULTI, quectel[number]))
    assert {answer["code"] for answer in answers} == {200}
    assert len({answer["data"]["authKey"] for answer in answers}) == len(bindings()) == len(places()) == CALLERS


@pytest.mark.parametrize("mode", Mode)
def test_no_bind_succeeds_after_a_ban_that_came_between(quectel: list[str], mode: Mode) -> None:
    device = identity.manufactured_device(mode.name, "SN1")

    def act(number: int) -> Any:
        if number == CALLERS // 2:
            return devices.ban(device, "stolen")
        return bind_sn(mode, quectel[number])["code"]

    codes = at_once(act)
    assert set(codes) <= {None, 200, 5009, 5048 if mode is Mode.ROTATING else 5412}
    assert bind_sn(mode, quectel[CALLERS // 2])["code"] == 5009
    assert len(bindings()) == len(places()) == (codes.count(200) if mode is Mode.MULTI else min(codes.count(200), 1))


@pytest.fixture
def bank(engine: object, environment: pytest.MonkeyPatch) -> Iterator[openid.Bank]:
    """The issuer of the customers' tokens."""
    with openid.Bank() as running:
        running.trusted(environment)
        forget()
        yield running


def register(bank: openid.Bank, customer: str, identifier: str, nickname: str) -> Response:
    body = {"external-device-identifier": identifier, "operating-system": "iOS 9.x", "nickname": nickname}
    headers = {"authorization": f"bearer {bank.token(sub=customer)}"}
    request = event("POST", "/v1/device/owned-devices", headers=headers, body=json.dumps(body))
    return invoke("asseco.register_owned_device", request)


def test_of_customers_registering_one_device_one_wins(bank: openid.Bank) -> None:
    answers = at_once(lambda number: register(bank, f"customer{number}", "990000862471854", "My Phone"))
    outcomes = Counter(answer.json().get("problem", answer.status) for answer in answers)
    assert outcomes == {200: 1, "imei-not-unique": CALLERS - 1}
    (owner,) = owners(identity.customer_device("990000862471854"))
    winner = next(number for number, answer in enumerate(answers) if answer.status == 200)
    assert owner["holder"] == f"customer#customer{winner}"
    assert len(items(Table.BINDINGS)) == 2, "the registration and its nickname's guard"


def test_of_a_customers_devices_under_one_nickname_one_is_registered(bank: openid.Bank) -> None:
    answers = at_once(lambda number: register(bank, "customer", f"device{number}", "My Phone"))
    outcomes = Counter(answer.json().get("problem", answer.status) for answer in answers)
    assert outcomes == {200: 1, "nickname-not-unique": CALLERS - 1}
    assert (len(items(Table.DEVICES)), len(items(Table.BINDINGS))) == (1, 2)


def test_players_adding_themselves_at_once_leave_one_request_whole() -> None:
    names = ("device_os", "device_version", "device_type", "app_version", "app_name")

    def add(number: int) -> Response:
        body = {"mac_address": "A1B2C3D4E5F6"} | dict.fromkeys(names, f"value {number}")
        return invoke("vodlix.add_device", event("POST", "/api/v2/device", body=json.dumps(body)))

    assert {answer.status for answer in at_once(add)} == {200}
    (device,) = items(Table.DEVICES)
    assert len({device[name] for name in names}) == 1


def change(bank: openid.Bank, name: str, identifier: str, body: str = "") -> Response:
    """One of the operations that change a customer's device."""
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
    """The nicknames that are held, and for which device."""
    return {item["sk"]: item["device"] for item in items(Table.BINDINGS) if item["sk"].startswith("nickname#")}


def test_of_a_customers_devices_renamed_alike_at_once_one_gets_the_nickname(bank: openid.Bank) -> None:
    for number in range(CALLERS):
        register(bank, "customer", f"device{number}", f"phone {number}")
    answers = at_once(lambda number: change(bank, "set_nickname", f"device{number}", '{"nickname":"My Phone"}'))
    assert problems(answers) == {None: 1, "nickname-not-unique": CALLERS - 1}
    owned = [item for item in items(Table.BINDINGS) if item["sk"] == "owner"]
    assert {f"nickname#{identity.folded(item['nickname'])}": item["pk"] for item in owned} == guards()


def test_a_device_renamed_differently_at_once_holds_one_nickname(bank: openid.Bank) -> None:
    register(bank, "customer", "phone", "My Phone")
    answers = at_once(lambda number: change(bank, "set_nickname", "phone", f'{{"nickname":"phone {number}"}}'))
    # Whoever met another rename may try again.
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
def test_of_the_same_changes_of_one_device_at_once_one_is_made(
    name: str, body: str, problem: str, bank: openid.Bank
) -> None:
    register(bank, "customer", "phone", "My Phone")
    answers = at_once(lambda _: change(bank, name, "phone", body))
    assert problems(answers) == {None: 1, problem: CALLERS - 1}


@pytest.fixture
def connecting(engine: object) -> Callable[[int], Response]:
    """Connect to a device of an account as its user of a number."""
    accounts.create("acme", name="Acme")
    company.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    addresses.assign("80:00:00:00:00:00:00:F1", identity.company_device("acme", "M", "S"))
    key = keys.issue("acme", Kind.REMOTEIT, Grant.READ_WRITE, alias="d")
    for number in range(CALLERS):
        users.create(f"user{number}", "acme")
    tokens = [sessions.issue(f"user{number}", "remoteit", 600)[0] for number in range(CALLERS)]

    def connect(number: int) -> Response:
        headers = {"developerkey": key, "token": tokens[number]}
        body = '{"deviceaddress": "80:00:00:00:00:00:00:F1"}'
        return invoke("remoteit.connect_device", event("POST", "/apv/v27/device/connect", headers=headers, body=body))

    return connect


def named() -> set[str]:
    """The connections that the device's binding names."""
    (owner,) = owners(identity.company_device("acme", "M", "S"))
    return {name["id"] for name in owner["connected"].values()}


def test_of_a_users_connections_to_one_device_the_last_stays(connecting: Callable[[int], Response]) -> None:
    answers = at_once(lambda _: connecting(0))
    assert {answer.status for answer in answers} == {200}
    (lease,) = [item for item in items(Table.BINDINGS) if item["sk"] != "owner"]
    assert named() == {lease["connection"]} <= {answer.json()["connectionid"] for answer in answers}


def test_users_who_connect_to_one_device_at_once_are_all_named_by_its_binding(
    connecting: Callable[[int], Response],
) -> None:
    answers = at_once(connecting)
    assert {answer.status for answer in answers} == {200}
    assert named() == {answer.json()["connectionid"] for answer in answers}


def test_of_more_users_than_a_binding_names_as_many_stay_connected(
    connecting: Callable[[int], Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CALLER_LIMIT", 8)
    answers = at_once(connecting)
    made = {answer.json()["connectionid"] for answer in answers if answer.status == 200}
    # Whoever met others who made room at the same time may try again.
    assert {answer.status for answer in answers} <= {200, 503}
    assert len(named()) == 8
    assert named() <= made


def test_nobody_stays_connected_to_what_was_unbound_at_the_same_time(connecting: Callable[[int], Response]) -> None:
    device = identity.company_device("acme", "M", "S")

    def act(number: int) -> int:
        if number == CALLERS // 2:
            holding.end(device, "moved")
            return 200
        return connecting(number).status

    assert set(at_once(act)) <= {200, 403}
    company.bind("acme", "M", "S", alias=None, firmware=None, kind=None)
    for lease in [item for item in items(Table.BINDINGS) if item["sk"] != "owner"]:
        with pytest.raises(Fault):
            connections.admit(lease["proxy"], "203.0.113.9")
    assert named() == set()


def test_keys_issued_at_once_never_exceed_the_limit() -> None:
    accounts.create("acme", name="Acme")

    def issue(number: int) -> Reason | None:
        try:
            keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))
        except Fault as fault:
            return fault.reason
        return None

    assert Counter(at_once(issue, 20)) == {None: keys.LIVE_LIMIT, Reason.LIMIT_REACHED: 20 - keys.LIVE_LIMIT}
    assert sum(item["sk"] == "key" for item in items(Table.DIRECTORY)) == keys.LIVE_LIMIT


def test_ten_keys_issued_and_rotated_at_once_stay_ten_each_with_one_successor() -> None:
    accounts.create("acme", name="Acme")
    ids = [keys.id_of(keys.issue("acme", Kind.RUFUS, Grant.READ, alias=str(number))) for number in range(10)]

    def act(number: int) -> Reason | None:
        try:
            if number < 20:
                keys.rotate(ids[number % 10], 3600)
            else:
                keys.issue("acme", Kind.RUFUS, Grant.READ, alias="new")
        except Fault as fault:
            return fault.reason
        return None

    outcomes = at_once(act, 25)

    (account,) = [item for item in items(Table.DIRECTORY) if item["sk"] == "account"]
    live = account["live_keys"]
    assert len(live["rufus"]) == 10
    rotated = outcomes[:20].count(None)
    assert len(live["rotated"]) == rotated == len(set(ids) - live["rufus"].keys())
    # Whoever did not come through was too late, or met so many others that it may be tried again.
    assert set(outcomes[:20]) <= {None, Reason.STATUS_NOT_VALID, Reason.UNAVAILABLE}
    assert set(outcomes[20:]) <= {Reason.LIMIT_REACHED, Reason.UNAVAILABLE}
    assert sum(item["sk"] == "key" for item in items(Table.DIRECTORY)) == 10 + rotated


def test_the_first_uses_of_a_key_on_a_day_are_all_answered_and_noted_once() -> None:
    accounts.create("acme", name="Acme")
    key = keys.issue("acme", Kind.RUFUS, Grant.WRITE, alias="a")

    def bind(number: int) -> int:
        body = json.dumps({"model": "M", "serial_number": str(number)})
        return invoke("rufus.bind_device", event("POST", "/v0/devices", headers={"api_key": key}, body=body)).status

    assert set(at_once(bind)) == {201}
    assert keys.show(keys.id_of(key))["last_used"] == clock.today().isoformat()
    assert len(items(Table.DEVICES)) == CALLERS
