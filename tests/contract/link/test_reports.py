"""link: properties that devices report, and commands that they get."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.errors import ServiceError
from bindery.connectivity import device_connections, device_reports, presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import tsl
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import quectel, rufus
from tests.device_link import Connection, connected, gateway
from tests.http_api import admin
from tests.quectel import DEVICE, DK, ME, PK, World, owner, succeeded, token
from tests.records import TSL
from tests.sample_requests import send


@pytest.fixture
def device(registry: None) -> Connection:
    """A bound device with a TSL, connected with its authKey."""
    succeeded(World().ask())
    tsl.load(PK, TSL)
    return connected(secrets.auth_key(owner()["binding"]))


def report(device: Connection, at: int | None = None, **values: Any) -> list[dict[str, Any]]:
    """Report values, and return what the device is told."""
    before = len(device.received)
    device.send({"type": "report", "values": values}, at=at)
    return device.received[before:]


def stored() -> dict[str, Any]:
    found = dynamodb.get(items.properties(DEVICE))
    return {} if found is None else {code: each["value"] for code, each in found["values"].items()}


def shown() -> dict[str, str]:
    answer = quectel.ask(ME, "get_device_business_attributes", pk=PK, dk=DK)
    return {each["resourceCode"]: each["resourceValce"] for each in answer.json()["data"]["customizeTslInfo"]}


def control(**more: Any) -> Any:
    given = {"data": '[{"switch":true}]', "deviceList": [{"productKey": PK, "deviceKey": DK}], "type": 2} | more
    return send("quectel.batch_control_device", {"authorization": token(ME)}, body=given).json()["data"]


def test_owner_sees_what_the_device_reported(device: Connection):
    assert report(device, battery=98, switch=True) == []
    assert shown() == {"battery": "98", "switch": "true"}
    assert report(device, battery=97) == []
    assert shown() == {"battery": "97", "switch": "true"}


def test_values_that_the_tsl_does_not_have_are_refused_and_the_others_kept(device: Connection):
    (told,) = report(device, battery=101, unknown=1, switch="1")
    assert told == {"type": "refused", "why": "not in the product's TSL, or not with such a value: battery, unknown"}
    assert stored() == {"switch": "true"}


def test_a_report_that_arrives_twice_is_written_once(device: Connection):
    now = clock.now()
    report(device, now, battery=50)
    before = dynamodb.get(items.properties(DEVICE))
    report(device, now, battery=50)
    assert dynamodb.get(items.properties(DEVICE)) == before


def test_a_new_owner_starts_without_values(registry: None):
    world = World(Mode.ROTATING)
    succeeded(world.ask())
    tsl.load(PK, TSL)
    first = connected(secrets.auth_key(owner()["binding"]))
    report(first, battery=98)
    succeeded(quectel.bind(token(quectel.OTHER), pk=PK, sn=quectel.SN))
    second = connected(secrets.auth_key(owner()["binding"]))
    report(second, switch=True)
    assert stored() == {"switch": "true"}


def force() -> None:
    admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"})


@pytest.mark.parametrize("unbind", [lambda: quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK), force])
def test_unbinding_deletes_what_the_device_reported(device: Connection, unbind: Callable[[], object]):
    report(device, battery=98)
    unbind()
    assert [dynamodb.get(key) for key in (items.properties(DEVICE), items.presence(DEVICE))] == [None, None]
    assert (device.is_open, device.received) == (False, [{"type": "bye", "why": "unbound", "after": 600}])


def test_a_device_that_is_not_bound_any_more_cannot_report(device: Connection):
    quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    report(device, battery=98)
    assert device.received == [{"type": "bye", "why": "unbound", "after": 600}]
    assert (device.is_open, stored()) == (False, {})


def test_a_device_without_a_product_cannot_report(registry: None):
    rufus.install()
    device = connected(rufus.bound())
    (told,) = report(device, battery=98)
    assert told == {"type": "refused", "why": "only devices with a product report values"}
    assert device.is_open


def test_kept_values_are_bounded(device: Connection):
    text = {"id": 1, "name": "T", "type": "PROPERTY", "dataType": "TEXT", "subType": "R", "specs": {}}
    codes = [f"t{number}" for number in range(device_reports.CODE_LIMIT + 1)]
    tsl.load(PK, {"properties": [text | {"code": code} for code in codes]})
    size = device_reports.REPORT_LIMIT
    for start in range(0, device_reports.CODE_LIMIT, size):
        assert report(device, **dict.fromkeys(codes[start : start + size], "x")) == []
    full = stored()
    assert len(full) == device_reports.CODE_LIMIT
    refused = [{"type": "refused", "why": "more than 200 values, or 16 KiB"}]
    assert report(device, **{codes[-1]: "x"}) == refused
    assert report(device, t0="x" * device_reports.SIZE_LIMIT) == refused
    assert stored() == full
    (bye,) = report(device, **dict.fromkeys(codes[: size + 1], "x"))
    assert bye["why"] == "invalid"


def test_of_two_reports_in_a_millisecond_the_higher_number_is_later(device: Connection):
    now = clock.now()
    for number, battery in ((2, 20), (1, 10)):
        device.send({"type": "report", "n": number, "values": {"battery": battery}}, at=now)
    assert stored() == {"battery": "20"}


@pytest.mark.parametrize("values", [{}, [], None, {"": 1}, {"c" * 65: 1}, {"a": float("nan")}, {"a": "\ud800"}])
def test_a_malformed_report_ends_the_connection(device: Connection, values: Any):
    device.send(json.dumps({"type": "report", "values": values}))
    assert device.received[-1] == {"type": "bye", "why": "invalid", "after": 60}
    assert (device.is_open, stored()) == (False, {})


def test_concurrent_reports_are_both_kept(device: Connection, monkeypatch: pytest.MonkeyPatch):
    overtake(monkeypatch, lambda: report(device, switch=True))
    report(device, battery=98)
    assert stored() == {"battery": "98", "switch": "true"}


def test_concurrent_reports_of_a_value_keep_the_later_one(device: Connection, monkeypatch: pytest.MonkeyPatch):
    now = clock.now()
    report(device, now - 1000, switch=True)
    overtake(monkeypatch, lambda: report(device, now, battery=50))
    report(device, now - 500, battery=60)
    assert stored() == {"battery": "50", "switch": "true"}


def test_a_report_that_is_always_overtaken_is_refused(device: Connection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_reports, "_keep", conflict)
    assert report(device, battery=98) == [{"type": "refused", "why": "too many messages at once: send it again later"}]
    assert device.is_open


def conflict(*_: object) -> None:
    raise Refused(Reason.CONFLICT)


def overtake(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen between the read and the write of the next report."""
    check = device_connections.check

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(device_connections, "check", check)
        found = check(*given)
        act()
        return found

    monkeypatch.setattr(device_connections, "check", overtaken)


def test_a_command_reaches_the_device_and_its_ticket_the_user(device: Connection):
    found = control()
    (sent,) = found["successList"]
    assert sent == {"data": {"productKey": PK, "deviceKey": DK}, "ticket": sent["ticket"]}
    assert found["failureList"] == []
    assert device.received == [
        {"type": "command", "kind": "property", "values": {"switch": True}, "id": sent["ticket"]}
    ]
    device.send({"type": "result", "id": sent["ticket"], "ok": True})
    assert device.is_open


@pytest.mark.parametrize(("number", "kind"), [(1, "passthrough"), (3, "service")])
def test_other_commands_are_passed_on_as_they_are(device: Connection, number: int, kind: str):
    (sent,) = control(type=number, data="a0b1")["successList"]
    assert device.received == [{"type": "command", "kind": kind, "data": "a0b1", "id": sent["ticket"]}]


def test_a_command_for_a_device_that_is_gone_fails(device: Connection):
    # API Gateway has not told yet that the connection has ended.
    del gateway().open[device.id]
    failed = {"data": {"productKey": PK, "deviceKey": DK}, "msg": "Device offline"}
    assert presence.is_online(presence.find(DEVICE))
    assert control() == {"successList": [], "failureList": [failed]}
    assert not presence.is_online(presence.find(DEVICE))


def test_a_command_that_cannot_be_sent_fails_for_its_device_only(device: Connection, monkeypatch: pytest.MonkeyPatch):
    def busy(operation: str, **_: object) -> None:
        raise ServiceError("LimitExceededException", 429, {})

    monkeypatch.setattr(gateway(), "call", busy)
    failed = {"data": {"productKey": PK, "deviceKey": DK}, "msg": "Device control failed"}
    assert control() == {"successList": [], "failureList": [failed]}


@pytest.mark.parametrize(("given", "sent"), [("false", False), (1, True), ("1", True)])
def test_values_of_a_command_have_the_types_of_the_tsl(device: Connection, given: Any, sent: bool):
    control(data=json.dumps([{"switch": given}]))
    assert device.received[-1]["values"] == {"switch": sent}


def test_a_command_is_not_sent_to_an_earlier_owners_connection(registry: None):
    World(Mode.ROTATING)
    succeeded(quectel.as_user(quectel.OTHER))
    device = connected(secrets.auth_key(owner()["binding"]))
    succeeded(quectel.as_user(ME))
    tsl.load(PK, TSL)
    assert control()["successList"] == []
    assert device.received == []
