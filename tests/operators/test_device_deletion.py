"""Deletion of devices: what is deleted with them, what refuses it, and what comes after."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Table
from bindery.connectivity import device_credentials, service_addresses
from bindery.core import clock
from bindery.operators import device_deletion
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from bindery.rufus import company_devices
from tests import aws_calls, listings, quectel, rufus
from tests import feed as streams
from tests.concurrency.races import before
from tests.feed import Feed, chains
from tests.http_api import OPERATOR, Response, admin
from tests.operators.remains import left, player
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, World, as_user, succeeded
from tests.records import ADDRESS, registration
from tests.tables import acts_in, everything, item_at, stored

pytestmark = pytest.mark.usefixtures("registry")

SECOND = "80:00:00:00:00:00:00:F2"


def of_company() -> str:
    return identity.company_device("acme", "Model X1", "DEVICE-123")


def delete(device: str) -> Response:
    return admin("devices", "DELETE", f"devices/{identity.opaque(device)}")


def act(device: str, action: str, body: Any = None) -> None:
    assert admin("devices", "POST", f"devices/{identity.opaque(device)}/{action}", body).status == 200


def deleted(device: str) -> None:
    answer = delete(device)
    assert (answer.status, answer.json()) == (200, {"device": identity.opaque(device), "complete": True})


def manufactured() -> str:
    World()
    return DEVICE


def company() -> str:
    rufus.install()
    rufus.bound()
    act(of_company(), "unbind", {"reason": "sold"})
    return of_company()


def phone() -> str:
    device = registration("MIGR00002")
    owned_devices.unregister("MIGR00002", "356")
    return device


MADE: dict[str, Callable[[], str]] = {"quectel": manufactured, "rufus": company, "vodlix": player, "asseco": phone}


@pytest.mark.parametrize("api", MADE)
def test_device_is_deleted_with_everything_that_names_it(api: str) -> None:
    device = MADE[api]()
    for address in (ADDRESS, SECOND):
        service_addresses.assign(address, device)
    device_credentials.issue(device)
    devices.ban(device, "stolen")
    deleted(device)
    assert left(device) == []
    assert delete(device).status == 404


def test_passings_connection_and_properties_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    device = company()
    now = clock.now()
    for number in range(5):
        dynamodb.write(items.passing(device, now, "s", number).put({"expires_at": now // 1000 + 9999}))
    known: items.Presence = {"binding": "b", "connection": "c", "until": now - 1}
    dynamodb.write(items.presence(device).put(known))
    dynamodb.write(items.properties(device).put({"binding": "b"}))
    dynamodb.write(items.connection(device, "ann").put({"connection": "l"}))
    dynamodb.write(items.tunnel(device, "t").put({"lease": "l"}))
    monkeypatch.setattr(device_deletion, "LIMIT", 3)
    assert [delete(device).json()["complete"] for _ in range(2)] == [False, False]
    deleted(device)
    assert left(device) == []


def test_deletion_ends_a_void_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    device = company()
    ended: list[Any] = []
    monkeypatch.setattr(device_deletion.device_connections, "disconnect", lambda last, why: ended.append((last, why)))
    known: items.Presence = {"binding": "b", "connection": "c", "until": clock.now() + 9999}
    dynamodb.write(items.presence(device).put(known))
    deleted(device)
    assert [(last["connection"], why) for last, why in ended] == [("c", "unbound")]


def refused(device: str, holders: str) -> None:
    before_it = everything()
    answer = delete(device)
    end = "End the binding first: bindery devices unbind DEVICE"
    assert (answer.status, answer.json()["detail"]) == (409, f"{holders} the device. {end}")
    assert everything() == before_it


def test_bound_device_is_refused_with_kind_and_number_of_holders() -> None:
    World()
    rufus.install()
    rufus.bound()
    refused(of_company(), "1 account holds")
    refused(registration("MIGR00002"), "1 customer holds")
    succeeded(as_user(ME))
    refused(DEVICE, "1 user holds")


def test_users_are_counted_up_to_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    World(Mode.MULTI)
    for uid in (ME, OTHER):
        succeeded(as_user(uid))
    refused(DEVICE, "2 users hold")
    monkeypatch.setattr(device_deletion, "COUNTED", 1)
    refused(DEVICE, "1+ users hold")


def test_expired_share_does_not_hold_a_device() -> None:
    World(Mode.MULTI)
    share: items.Binding = {"kind": "share", "holder": "user#x", "binding": "b", "share": "s", "expires_at": 1}
    dynamodb.write(items.user_binding(DEVICE, "x").put(share))
    deleted(DEVICE)
    assert left(DEVICE) == []


@pytest.mark.parametrize("mode", Mode)
def test_concurrent_bind_wins_and_the_device_stays(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    World(mode)
    before(monkeypatch, "TransactWriteItems", lambda: succeeded(as_user(ME)))
    assert delete(DEVICE).status == (409 if mode is Mode.MULTI else 503)
    assert "disabled" not in item_at(items.device(DEVICE))
    assert delete(DEVICE).status == 409
    assert quectel.as_user(ME).json()["code"] == 5049


@pytest.mark.parametrize("mode", Mode)
def test_concurrent_deletion_wins_and_nothing_is_bound(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    World(mode)
    before(monkeypatch, "TransactWriteItems", lambda: deleted(DEVICE))
    assert as_user(ME).json()["code"] == 5090
    assert left(DEVICE) == []


def test_device_of_a_deleted_product_is_closed_before_it_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    World(Mode.MULTI)
    dynamodb.write(items.product(PK).delete())
    deleted(DEVICE)
    dids = [each["did"] for each in stored(Table.BINDINGS) if each["pk"] == DEVICE]
    assert dids == ["disabled", "deleted"]


CHANGES: dict[str, Callable[[], object]] = {
    "address": lambda: service_addresses.assign(SECOND, DEVICE),
    "removed address": lambda: service_addresses.withdraw(ADDRESS),
    "connection": lambda: dynamodb.write(items.presence(DEVICE).put({"connection": "new"})),
    "enabled": lambda: devices.set_enabled(DEVICE, True),
    "created again": lambda: dynamodb.write(items.device(DEVICE).update(set={"created_at": 1})),
}


@pytest.mark.parametrize("name", CHANGES)
def test_concurrent_change_is_not_lost(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    World(Mode.MULTI)
    service_addresses.assign(ADDRESS, DEVICE)
    devices.set_enabled(DEVICE, False)
    before(monkeypatch, "TransactWriteItems", CHANGES[name])
    assert delete(DEVICE).status == 503
    assert item_at(items.device(DEVICE))


@pytest.mark.parametrize("calls", range(12))
def test_deletion_killed_at_any_call_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    World(Mode.MULTI)
    service_addresses.assign(ADDRESS, DEVICE)
    device_credentials.issue(DEVICE)
    dynamodb.write(items.passing(DEVICE, 1, "s", 1).put({"expires_at": 9999999999}))
    done = iter(range(calls))

    def kill(service: str, operation: str, request: Any) -> None:
        if next(done, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(aws_calls, "before", [*aws_calls.before, kill])
        delete(DEVICE)
    assert delete(DEVICE).status in (200, 404)
    assert left(DEVICE) == []
    assert [act["did"] for act in acts_in(everything()) if act["pk"] == DEVICE].count("deleted") == 1


def test_history_stays_and_goes_on_when_the_device_comes_back(feed: Feed) -> None:
    World()
    again(feed)
    feed.record()
    deleted(DEVICE)
    (event,) = feed.record()
    assert event["type"] == "device.deleted"
    assert event["data"] == {"device": identity.opaque(DEVICE), "api": "quectel", "operator": OPERATOR}
    shown = admin("history", "GET", f"history/devices/{identity.opaque(DEVICE)}").json()["items"]
    assert [each["type"] for each in shown] == ["device.registered", "device.deleted"]
    assert admin("devices", "GET", "devices", query={"product": PK}).json()["items"] == []
    devices.manufacture(PK, SN, device_key=DK)
    assert feed.types() == ["device.registered"]
    succeeded(as_user(ME))
    assert feed.types() == ["device.bound"]
    verified = admin("history", "GET", f"history/devices/{identity.opaque(DEVICE)}/verify").json()
    assert (verified["problem"], verified["state"]["differs"]) == (None, [])
    streams.check_history(feed)


def again(feed: Feed) -> None:
    """Manufacture the device again: its first record was not captured."""
    dynamodb.write(items.device(DEVICE).delete())
    feed.records.clear()
    devices.manufacture(PK, SN, device_key=DK)


def of_table(feed: Feed, name: str) -> list[Any]:
    return [record for record in feed.records if f"{name}Table" in record["eventSourceARN"]]


ORDERS = {"devices first": ("Devices", "Bindings"), "bindings first": ("Bindings", "Devices")}


@pytest.mark.parametrize("order", ORDERS)
def test_registrations_and_deletions_alternate_whichever_stream_is_first(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    moment = clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment)
    rufus.install()
    for _ in range(3):
        rufus.bound()
        moment += 2000
        act(of_company(), "unbind", {"reason": "sold"})
        deleted(of_company())
    rufus.bound()
    for name in ORDERS[order]:
        assert streams.handle(of_table(feed, name)) == []
    types = [event["type"] for event in chains()[of_company()]]
    own = [kind for kind in types if kind in ("device.registered", "device.deleted")]
    assert own == ["device.registered", "device.deleted"] * 3 + ["device.registered"]
    listings.check()


def test_device_that_was_deleted_before_it_was_recorded_is_registered_first(feed: Feed) -> None:
    World()
    deleted(DEVICE)
    assert feed.types() == ["device.registered", "device.deleted"]
    assert [item for item in stored(Table.HISTORY) if item["pk"].startswith(("listing#", "devices#"))] == []


def test_late_event_does_not_list_a_deleted_device(feed: Feed) -> None:
    World()
    again(feed)
    feed.record()
    dynamodb.write(
        Key[Any](Table.BINDINGS, DEVICE, "link#presence").put({"connection": "c", "binding": "b", "holder": "x"})
    )
    (late,) = feed.pending()
    dynamodb.write(items.presence(DEVICE).delete())
    deleted(DEVICE)
    feed.record()
    assert streams.handle([late]) == []
    assert [item for item in stored(Table.HISTORY) if item["pk"].startswith("listing#")] == []


def test_deletion_without_an_operator_is_not_in_the_history(feed: Feed) -> None:
    company_devices.bind("a", "M", "S", alias=None, firmware=None, kind=None)
    device = identity.company_device("a", "M", "S")
    dynamodb.write(items.owner(device).delete())
    feed.record()
    assert device_deletion.delete(device)
    assert feed.types() == []
