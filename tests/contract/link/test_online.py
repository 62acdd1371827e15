"""link: operators list the connected devices."""

from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.connectivity import device_credentials, presence
from bindery.core import clock
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import aws_calls, quectel, rufus
from tests.device_link import SOURCE_IP, Connection, connected
from tests.http_api import Response, admin
from tests.quectel import DEVICE, DK, ME, OTHER, PK, SN, World, as_user, succeeded
from tests.records import company_device, registration

pytestmark = pytest.mark.usefixtures("registry")

NONE = dict.fromkeys(("account", "product_key", "serial", "imei", "mac"))


def ask(**query: Any) -> Response:
    return admin("devices", "GET", "devices/online", query=query)


def online(**query: Any) -> list[str]:
    return [identity.from_opaque(device["device"]) for device in ask(**query).json()["items"]]


def with_key(device: str) -> Connection:
    """Connect a device with a key from an operator."""
    return connected(device_credentials.issue(device))


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, as the only entry of a list that a test changes."""
    now = [clock.now() - 600_000]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    return now


def test_connected_devices_of_every_api_are_listed_with_their_identifiers(time: list[int]) -> None:
    rufus.install()
    World()
    made: dict[str, dict[str, str]] = {
        company_device("acme", "SN-1"): {"dialect": "rufus", "account": "acme", "serial": "SN-1"},
        registration("MIGR00002", "990000862471854", "My Phone"): {"dialect": "asseco", "imei": "990000862471854"},
    }
    expected = []
    for device, shown in made.items():
        time[0] += 1000
        with_key(device)
        about = {"connected_at": time[0], "ip": SOURCE_IP, "agent": "bindery-agent/1"}
        expected.append(NONE | shown | about | {"device": identity.opaque(device)})
    time[0] += 1000
    connected(succeeded(as_user(ME))["authKey"], source_ip="2001:db8::7", agent="")
    known = {"dialect": "quectel", "product_key": PK, "serial": SN, "device": identity.opaque(DEVICE)}
    expected.append(NONE | known | {"connected_at": time[0], "ip": "2001:db8::7", "agent": ""})
    assert ask().json() == {"items": expected, "next": None}


def test_list_has_pages_in_the_order_of_connection(time: list[int]) -> None:
    rufus.install()
    made = [company_device("acme", f"SN-{number}") for number in range(12)]
    for number, device in enumerate(made):
        # Some connect in the same millisecond.
        time[0] += number % 2
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


def test_device_leaves_the_list_when_it_disconnects_and_returns_at_its_end(time: list[int]) -> None:
    rufus.install()
    first, second = (company_device("acme", name) for name in ("SN-1", "SN-2"))
    connection = with_key(first)
    time[0] += 1
    with_key(second)
    assert online() == [first, second]
    connection.end()
    assert online() == [second]
    kept = dynamodb.get(items.presence(first))
    assert kept is not None
    assert not {"holder", "holder_sort"} & kept.keys()
    time[0] += 1
    with_key(first)
    assert online() == [second, first]


def test_lost_end_of_a_connection_is_not_listed_after_two_hours(time: list[int]) -> None:
    rufus.install()
    device = company_device("acme", "SN-1")
    with_key(device)
    cursor = f"{time[0] - 1:013}#x"
    time[0] += presence.LIFETIME * 1000 - 1
    assert online() == online(cursor=cursor) == [device]
    time[0] += 1
    assert online() == online(cursor=cursor) == []


def test_connection_under_an_earlier_binding_is_not_listed() -> None:
    World(Mode.ROTATING)
    connected(succeeded(as_user(ME))["authKey"])
    key = succeeded(as_user(OTHER))["authKey"]
    assert online() == []
    connected(key)
    assert online() == [DEVICE]


def test_device_of_several_users_is_listed_while_the_binding_it_uses_lasts() -> None:
    World(Mode.MULTI)
    connected(succeeded(as_user(ME))["authKey"])
    succeeded(as_user(OTHER))
    assert online() == [DEVICE]
    quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK)
    assert online() == []
