"""link: operators list the connected devices; all see if a device is online, but never under an earlier binding."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import device_credentials, presence, service_addresses
from bindery.core import clock
from bindery.directory import users
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import aws_calls, quectel, rufus
from tests.device_link import SOURCE_IP, Connection, connected
from tests.http_api import SOURCE_IP as CALLER_IP
from tests.http_api import Response, admin
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, World, as_user, succeeded
from tests.records import ADDRESS, company_device, developer, registration
from tests.sample_requests import send

pytestmark = pytest.mark.usefixtures("registry")


class Clock:
    """The time, some minutes ago."""

    def __init__(self) -> None:
        self.now = clock.now() // 1000 * 1000 - 600_000

    def advance(self) -> str:
        """Let a minute pass, and return the new time as the APIs show it."""
        self.now += 60_000
        return datetime.fromtimestamp(self.now // 1000, UTC).isoformat()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch, registry: None) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def statuses(uid: str) -> list[tuple[int, str]]:
    """Return a device's status in each operation that has it."""
    (listed,) = quectel.ask(uid, "user_device_list").json()["data"]["list"]
    shown = [quectel.ask(uid, name, pk=PK, dk=DK).json()["data"] for name in ("device_info", "get_device_binding_info")]
    found = [(device["onlineStatus"], device["deviceStatus"]) for device in (listed, *shown)]
    assert quectel.ask(uid, "get_device_online_status", pk=PK, dk=DK).json()["data"] == dict.fromkeys(
        ("online", "value"), found[0][0]
    )
    return found


OFFLINE, ONLINE = [(0, "Offline")] * 3, [(1, "Online")] * 3


@pytest.mark.parametrize("mode", Mode)
def test_quectel_shows_whether_the_device_is_online(mode: Mode) -> None:
    World(mode)
    key = succeeded(as_user(ME))["authKey"]
    quectel.share(ME, OTHER, clock.seconds() + 1000)
    assert statuses(ME) == statuses(OTHER) == OFFLINE
    connection = connected(key)
    assert statuses(ME) == statuses(OTHER) == ONLINE
    connection.end()
    assert statuses(ME) == OFFLINE


def test_quectel_shows_a_lost_connection_as_offline_after_two_hours(time: Clock) -> None:
    World()
    key, end = succeeded(as_user(ME))["authKey"], time.now
    time.now -= 7_200_000
    connected(key)
    for moment, status in ((end - 1, 1), (end, 0)):
        time.now = moment
        assert quectel.ask(ME, "user_device_list").json()["data"]["list"][0]["onlineStatus"] == status


def test_quectel_shows_every_user_of_a_shared_mode_that_the_device_is_online() -> None:
    World(Mode.MULTI)
    connected(succeeded(as_user(ME))["authKey"])
    succeeded(as_user(OTHER))
    assert statuses(OTHER) == ONLINE


@pytest.mark.parametrize("evicted", [True, False])
def test_quectel_shows_no_presence_of_an_earlier_owner(evicted: bool) -> None:
    World(Mode.ROTATING if evicted else Mode.UNIQUE)
    connection = connected(succeeded(as_user(ME))["authKey"])
    if not evicted:
        assert quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK).json()["code"] == 200
    key = succeeded(as_user(OTHER))["authKey"]
    assert statuses(OTHER) == OFFLINE
    assert connection.hello()["why"] == "unbound"
    connected(key)
    assert statuses(OTHER) == ONLINE


def listed(headers: dict[str, str]) -> tuple[str, str, str]:
    (device,) = send("remoteit.list_all", headers).json()["devices"]
    return device["devicestate"], device["devicelastip"], device["lastcontacted"]


def test_remoteit_shows_state_address_and_time_of_the_last_contact(time: Clock) -> None:
    rufus.install()
    users.create("ann", "acme")
    headers = developer("ann", "acme")
    bound_at = time.advance()
    deviceid = rufus.bound()
    service_addresses.assign(ADDRESS, identity.company_device_of("acme", deviceid))
    time.advance()
    assert listed(headers) == ("active", CALLER_IP, bound_at)
    connection = connected(deviceid)
    left_at = time.advance()
    assert listed(headers) == ("active", SOURCE_IP, left_at)
    connection.end()
    time.advance()
    assert listed(headers) == ("inactive", SOURCE_IP, left_at)
    rufus.unbind(deviceid)
    rufus.bound()
    assert listed(headers)[:2] == ("active", CALLER_IP)


def seen(deviceid: str) -> str | None:
    return rufus.get(deviceid).json()["result"]["last_seen"]  # type: ignore[no-any-return]


def test_rufus_shows_when_a_device_was_last_seen(time: Clock) -> None:
    rufus.install()
    deviceid = rufus.bound()
    assert seen(deviceid) is None
    connected_at = time.advance()
    connection = connected(deviceid)
    assert seen(deviceid) == connected_at.replace("+00:00", ".000Z")
    left_at = time.advance()
    connection.end()
    assert seen(deviceid) == left_at.replace("+00:00", ".000Z")


def shown_presence() -> Any:
    return admin("devices", "GET", f"devices/{identity.opaque(DEVICE)}").json()["presence"]


def test_operators_see_the_presence_of_the_present_binding(time: Clock) -> None:
    never = {"state": "never connected", "connected_at": None, "last_seen_at": None, "ip": None, "agent": None}
    World()
    key = succeeded(as_user(ME))["authKey"]
    assert shown_presence() == never
    connection = connected(key)
    online = {"state": "online", "connected_at": time.now, "last_seen_at": time.now}
    device = {"ip": SOURCE_IP, "agent": "bindery-agent/1"}
    assert shown_presence() == online | device
    time.advance()
    connection.end()
    offline = online | device | {"state": "offline", "last_seen_at": time.now}
    time.advance()
    assert shown_presence() == offline
    quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    succeeded(as_user(OTHER))
    assert shown_presence() == never


NONE = dict.fromkeys(("account", "product_key", "serial", "imei", "mac"))


def ask(**query: Any) -> Response:
    return admin("devices", "GET", "devices/online", query=query)


def online(**query: Any) -> list[str]:
    return [identity.from_opaque(device["device"]) for device in ask(**query).json()["items"]]


def with_key(device: str) -> Connection:
    """Connect a device with a key from an operator."""
    return connected(device_credentials.issue(device))


def test_connected_devices_of_every_api_are_listed_with_their_identifiers(time: Clock) -> None:
    rufus.install()
    World()
    made: dict[str, dict[str, str]] = {
        company_device("acme", "SN-1"): {"dialect": "rufus", "account": "acme", "serial": "SN-1"},
        registration("MIGR00002", "990000862471854", "My Phone"): {"dialect": "asseco", "imei": "990000862471854"},
    }
    expected = []
    for device, shown in made.items():
        time.now += 1000
        with_key(device)
        about = {"connected_at": time.now, "ip": SOURCE_IP, "agent": "bindery-agent/1"}
        expected.append(NONE | shown | about | {"device": identity.opaque(device)})
    time.now += 1000
    connected(succeeded(as_user(ME))["authKey"], source_ip="2001:db8::7", agent="")
    known = {"dialect": "quectel", "product_key": PK, "serial": SN, "device": identity.opaque(DEVICE)}
    expected.append(NONE | known | {"connected_at": time.now, "ip": "2001:db8::7", "agent": ""})
    assert ask().json() == {"items": expected, "next": None}


def test_list_has_pages_in_the_order_of_connection(time: Clock) -> None:
    rufus.install()
    made = [company_device("acme", f"SN-{number}") for number in range(12)]
    for number, device in enumerate(made):
        # Some connect in the same millisecond.
        time.now += number % 2
        with_key(device)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for size in (5, 5, 2):
        page = ask(limit=5, **cursor).json()
        assert len(page["items"]) == size
        found += page["items"]
        cursor = {"cursor": page["next"]}
    assert cursor == {"cursor": None}
    assert sorted(identity.from_opaque(device["device"]) for device in found) == sorted(made)
    times = [device["connected_at"] for device in found]
    assert times == sorted(times)


def test_page_costs_one_query_per_shard_and_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(aws_calls, "before", [*aws_calls.before, lambda service, name, request: called.append(name)])
    rufus.install()
    for number in range(3):
        with_key(company_device("acme", f"SN-{number}"))
    for limit, found in ((100, 3), (2, 2)):
        called.clear()
        assert len(online(limit=limit)) == found
        assert called == [*["Query"] * 16, "BatchGetItem"]


@pytest.mark.parametrize(
    "cursor", ["x", "1795176000000", "1795176000000#", "1795176000000#a#b", f"{'1' * 13}#{'x' * 999}"]
)
def test_foreign_cursor_is_refused(cursor: str) -> None:
    assert ask(cursor=cursor).status == 422


def test_device_leaves_the_list_when_it_disconnects_and_returns_at_its_end(time: Clock) -> None:
    rufus.install()
    first, second = (company_device("acme", name) for name in ("SN-1", "SN-2"))
    connection = with_key(first)
    time.now += 1
    with_key(second)
    assert online() == [first, second]
    connection.end()
    assert online() == [second]
    kept = dynamodb.get(items.presence(first))
    assert kept is not None
    assert not {"holder", "holder_sort"} & kept.keys()
    time.now += 1
    with_key(first)
    assert online() == [second, first]


def test_lost_end_of_a_connection_is_not_listed_after_two_hours(time: Clock) -> None:
    rufus.install()
    device = company_device("acme", "SN-1")
    with_key(device)
    cursor = f"{time.now - 1:013}#x"
    time.now += presence.LIFETIME * 1000 - 1
    assert online() == online(cursor=cursor) == [device]
    time.now += 1
    assert online() == online(cursor=cursor) == []


def test_connection_under_an_earlier_binding_is_not_listed() -> None:
    World(Mode.ROTATING)
    connected(succeeded(as_user(ME))["authKey"])
    key = succeeded(as_user(OTHER))["authKey"]
    assert online() == []
    connected(key)
    assert online() == [DEVICE]
