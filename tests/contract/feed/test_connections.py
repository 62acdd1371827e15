"""Events of devices' and users' connections, and of operators' acts on devices."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.connectivity import device_connections
from bindery.core import clock
from bindery.directory import accounts, users
from bindery.feed import catalogue
from bindery.registry import identity, items
from bindery.security import secrets
from tests import rufus
from tests.device_link import connected
from tests.feed import Feed, user
from tests.http_api import OPERATOR, Response, admin
from tests.quectel import DEVICE, World
from tests.records import ADDRESS, company_device, connection
from tests.sample_requests import send
from tests.tables import item_at

KNOWN = {"operator": OPERATOR}


def on(device: str, method: str, action: str = "", body: Any = None) -> Response:
    answer = admin("devices", method, f"devices/{identity.opaque(device)}/{action}".rstrip("/"), body)
    assert answer.status == 200
    return answer


def fingerprint(private: str) -> str:
    return secrets.fingerprint(private)[:32]


@pytest.fixture
def device(feed: Feed) -> str:
    """Bind a company's device, which has a service address, and create two users of the company."""
    accounts.create("acme", name="Acme")
    for uid in ("ann", "bob"):
        users.create(uid, "acme")
    device = company_device()
    on(device, "PUT", "address", {"address": ADDRESS})
    assert feed.types() == ["device.registered", "device.bound", "device.address_assigned"]
    return device


def opened(feed: Feed, device: str, uid: str) -> dict[str, Any]:
    """Open a user's connection, check its event, and return the data of its end."""
    made = connection(uid)
    events = feed.events()
    ended = {"connection": fingerprint(made.id)}
    assert events[-1] == ("connection.opened", ended | {"user": user(uid), "until": made.expires_at * 1000})
    assert [kind for kind, _ in events[:-1]] in ([], ["connection.ended"])
    return ended


def test_connection_that_is_replaced_or_stopped_ends_once(feed: Feed, device: str) -> None:
    first = opened(feed, device, "ann")
    made = connection("ann")
    second = {"connection": fingerprint(made.id)}
    assert feed.events() == [
        ("connection.ended", first),
        ("connection.opened", second | {"user": user("ann"), "until": made.expires_at * 1000}),
    ]
    assert admin("connections", "DELETE", f"connections/{identity.opaque(device)}/ann").status == 200
    assert feed.events() == [("connection.ended", second)]


def test_binding_ends_its_connections_first(feed: Feed, device: str) -> None:
    held = {"binding": item_at(items.owner(device))["binding"], "holder": {"kind": "account", "id": "acme"}}
    ended = [opened(feed, device, uid) for uid in ("ann", "bob")]
    on(device, "POST", "unbind", {"reason": "lost"})
    events = feed.events()
    by = KNOWN | {"cause": "operator", "reason": "lost"}
    assert sorted(events[:-1], key=str) == sorted((("connection.ended", each) for each in ended), key=str)
    assert events[-1] == ("device.unbound", held | by)


def test_time_to_live_ends_a_connection(feed: Feed, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = opened(feed, device, "ann")
    later = clock.now() + 10**8
    monkeypatch.setattr(clock, "now", lambda: later)
    feed.expire()
    assert feed.events() == [("connection.ended", ended)]


def test_device_is_online_from_its_connection_to_its_end(feed: Feed) -> None:
    rufus.install()
    deviceid = rufus.bound()
    device = identity.company_device_of("acme", deviceid)
    online = {"binding": item_at(items.owner(device))["binding"]}
    feed.record()
    link = connected(deviceid)
    link.hello()
    assert feed.events() == [("device.online", online)]
    # A device that connects again ends its earlier connection.
    connected(deviceid)
    assert feed.events() == [("device.offline", online), ("device.online", online)]
    link.tell_end()
    assert feed.events() == []
    device_connections.gone(device, item_at(items.presence(device))["connection"])
    assert feed.events() == [("device.offline", online)]
    connected(deviceid)
    on(device, "POST", "ban", {"reason": "stolen"})
    assert feed.events() == [
        ("device.online", online),
        ("device.banned", KNOWN | {"reason": "stolen"}),
        ("device.offline", online),
    ]


ACTS: dict[str, tuple[tuple[Any, ...], dict[str, str]]] = {
    "banned": (("POST", "ban", {"reason": "stolen"}), {"reason": "stolen"}),
    "unbanned": (("POST", "unban"), {}),
    "lost": (("POST", "lost", {"reason": "left in a taxi"}), {"reason": "left in a taxi"}),
    "found": (("POST", "found"), {}),
    "retired": (("POST", "retire", {"reason": "broken"}), {"reason": "broken"}),
    "returned": (("POST", "return", {"reason": "repaired"}), {"reason": "repaired"}),
    "disabled": (("POST", "disable"), {}),
    "enabled": (("POST", "enable"), {}),
    "deactivated": (("POST", "deactivate"), {}),
    "activated": (("POST", "activate"), {}),
    "address_assigned": (("PUT", "address", {"address": ADDRESS}), {"address": fingerprint(ADDRESS)}),
    "address_removed": (("DELETE", "address"), {"address": fingerprint(ADDRESS)}),
    "key_issued": (("POST", "key"), {}),
    "key_revoked": (("POST", "revoke-key"), {}),
    "deleted": (("DELETE",), {}),
}


def test_each_act_of_an_operator_is_an_event(feed: Feed) -> None:
    World()
    assert {f"device.{did}" for did in ACTS} == {
        name
        for name, kind in catalogue.TYPES.items()
        if name.startswith("device.") and "operator" in kind.members.keys() - kind.optional
    }
    for did, (request, data) in ACTS.items():
        on(DEVICE, *request)
        events = [event for event in feed.events() if event[0] != "device.registered"]
        assert events == [(f"device.{did}", KNOWN | data)]


IGNORED: dict[str, Callable[[str], object]] = {
    "session": lambda deviceid: send("rufus.open_session", {"api_key": rufus.KEY}, path={"deviceid": deviceid}),
    "list": lambda deviceid: send("rufus.list_devices", {"api_key": rufus.READER}),
    "backfill": lambda _: admin("devices", "POST", "devices/backfill-credentials", {}),
    "parts": lambda _: accounts.spread("acme", 4),
}


def test_other_writes_are_no_events(feed: Feed) -> None:
    rufus.install()
    deviceid = rufus.bound()
    feed.record()
    for request in IGNORED.values():
        request(deviceid)
    rufus.bound(firmware="3", parts=4)
    assert len(feed.records) > feed.read
    assert feed.events() == []
