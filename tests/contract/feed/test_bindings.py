"""Events of bindings, shares, registrations and connections, and of operators' acts on devices."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.connectivity import device_connections
from bindery.core import clock
from bindery.directory import accounts, users
from bindery.feed import catalogue
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import rufus
from tests.device_link import connected
from tests.feed import Feed, user
from tests.http_api import OPERATOR, Response, admin
from tests.quectel import DEVICE, DK, ME, PK, World, as_user, ask, succeeded
from tests.quectel import OTHER as FRIEND
from tests.quectel import THIRD as GUEST
from tests.records import ADDRESS, company_device, connection
from tests.sample_requests import send
from tests.tables import item_at

KEYS = {"pk": PK, "dk": DK}
ACME = {"kind": "account", "id": "acme"}
LATER = 3600


def binding(device: str = DEVICE) -> str:
    return str(item_at(items.owner(device))["binding"])


def bound(feed: Feed, mode: Mode = Mode.UNIQUE) -> str:
    """Bind the device to ME, and return the binding's id."""
    World(mode)
    succeeded(as_user(ME))
    assert feed.types() == ["device.registered", "device.bound"]
    return binding() if mode is not Mode.MULTI else str(item_at(items.user_binding(DEVICE, ME))["binding"])


def share(seconds: int = LATER) -> int:
    """Share ME's device with FRIEND, who accepts. Return the end of the share in milliseconds."""
    until = (clock.seconds() + seconds) * 1000
    code = ask(ME, "share_info", **KEYS, sharingExpireAt=until, acceptingExpireAt=until - 1000).json()["data"]
    assert ask(FRIEND, "share_device", shareCode=code).json()["code"] == 200
    return until


def shared(feed: Feed, seconds: int = LATER) -> None:
    share(seconds)
    assert feed.types() == ["device.shared", "device.share_accepted"]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Begin in the past. Return a function that goes on until shares of a minute have expired."""
    now, behind = clock.now, [100_000]
    monkeypatch.setattr(clock, "now", lambda: now() - behind[0])
    return lambda: behind.__setitem__(0, 0)


def test_company_binds_renames_and_unbinds(feed: Feed) -> None:
    rufus.install()
    deviceid = rufus.bind().json()["deviceid"]
    device = identity.company_device("acme", "Model X1", "DEVICE-123")
    held = {"binding": binding(device), "holder": ACME}
    events = feed.record()
    assert [event["type"] for event in events] == ["device.registered", "device.bound"]
    known = {"device": identity.opaque(device), "api": "rufus"}
    assert [event["data"] for event in events] == [known, known | held | {"exclusive": True}]
    # Binding again is no event, except for a new name.
    rufus.bind()
    assert feed.events() == []
    rufus.bind(rufus.SAMPLE | {"alias": "Gate", "firmware": "2"})
    rufus.bind(rufus.SAMPLE | {"alias": "Gate"})
    assert feed.events() == [("device.renamed", held)]
    rufus.unbind(deviceid)
    assert feed.events() == [("device.unbound", held | {"cause": "holder"})]
    rufus.bind()
    assert binding(device) != held["binding"]
    again = {"binding": binding(device), "holder": ACME, "exclusive": True}
    assert feed.events() == [("device.bound", again)]


def test_rotation_ends_shares_and_binding_before_the_next(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed, Mode.ROTATING), "holder": user(ME)}
    shared(feed)
    succeeded(as_user(GUEST))
    events = feed.events()
    new = {"binding": binding(), "holder": user(GUEST), "exclusive": True}
    assert events == [
        ("device.share_ended", held | {"user": user(FRIEND), "cause": "ended"}),
        ("device.unbound", held | {"cause": "evicted"}),
        ("device.bound", new),
    ]


def test_expired_share_ends_once_whichever_change_shows_it(feed: Feed, wait: Callable[[], None]) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME)}
    shared(feed, seconds=60)
    wait()
    # The next acceptance no longer names it, the user's own entry is replaced, and then the binding ends.
    until = share()
    ended = held | {"user": user(FRIEND)}
    ask(ME, "unbundling_device_dk", **KEYS)
    assert feed.events() == [
        ("device.shared", held | {"until": until}),
        ("device.share_ended", ended | {"cause": "expired"}),
        ("device.share_accepted", ended | {"until": until}),
        ("device.share_ended", ended | {"cause": "ended"}),
        ("device.unbound", held | {"cause": "holder"}),
    ]


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_time_to_live_ends_an_expired_share(feed: Feed, wait: Callable[[], None], mode: Mode) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed, seconds=60)
    wait()
    feed.expire()
    assert feed.events() == [("device.share_ended", held | {"user": user(FRIEND), "cause": "expired"})]
    ask(ME, "unbundling_device_dk", **KEYS)
    assert feed.events() == [("device.unbound", held | {"cause": "holder"})]


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_operator_who_ends_a_binding_is_named(feed: Feed, mode: Mode) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed)
    query = {"uid": ME} if mode is Mode.MULTI else {}
    answer = admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"}, query=query)
    assert answer.status == 200
    ended = {"cause": "operator", "operator": OPERATOR, "reason": "lost"}
    assert sorted(feed.events()) == sorted(
        [("device.share_ended", held | {"user": user(FRIEND)} | ended), ("device.unbound", held | ended)]
    )


def test_share_given_back_before_an_operator_ends_the_binding_is_not_the_operators(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed, Mode.MULTI), "holder": user(ME)}
    shared(feed)
    ask(FRIEND, "unbundling_device_dk", **KEYS)
    admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"}, query={"uid": ME})
    ended = {"cause": "operator", "operator": OPERATOR, "reason": "lost"}
    assert feed.events() == [
        ("device.share_ended", held | {"user": user(FRIEND), "cause": "ended"}),
        ("device.unbound", held | ended),
    ]


def test_offer_is_made_declined_and_withdrawn(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME), "operator": OPERATOR}
    for end, body, cause in (("decline", {"uid": FRIEND}, "declined"), ("withdraw", None, "withdrawn")):
        on(DEVICE, "POST", "offer", {"to": FRIEND, "days": 2})
        (offered,) = feed.record()
        offer = item_at(items.owner(DEVICE))["offer"]
        made = held | {"user": user(FRIEND)}
        assert offered["type"] == "device.offered"
        assert offered["data"].items() >= (made | {"until": offer["until"] * 1000}).items()
        on(DEVICE, "POST", end, body)
        assert feed.events() == [("device.offer_ended", made | {"cause": cause})]


def test_expired_offer_is_replaced_without_an_end(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(feed)
    on(DEVICE, "POST", "offer", {"to": FRIEND, "days": 1})
    assert feed.types() == ["device.offered"]
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 86_400_000)
    on(DEVICE, "POST", "offer", {"to": FRIEND})
    assert feed.types() == ["device.offered"]


def test_erased_receiver_ends_the_offer(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME), "operator": OPERATOR}
    on(DEVICE, "POST", "offer", {"to": FRIEND})
    assert feed.types() == ["device.offered"]
    made = held | {"user": user(FRIEND)}
    erase(FRIEND)
    assert ("device.offer_ended", made | {"cause": "erased"}) in feed.events()


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_erasure_ends_bindings_and_shares(feed: Feed, mode: Mode) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed)
    friend, me = user(FRIEND), user(ME)
    erased = {"cause": "erased", "operator": OPERATOR, "reason": "erased at the request of its user"}
    erase(FRIEND)
    assert ("device.share_ended", held | {"user": friend} | erased) in feed.events()
    erase(ME)
    assert ("device.unbound", held | {"holder": me} | erased) in feed.events()


def erase(uid: str) -> None:
    while not admin("privacy", "DELETE", f"privacy/{uid}").json()["complete"]:
        pass


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


def connection_of(feed: Feed, device: str, uid: str) -> dict[str, Any]:
    """Open a user's connection, check its event, and return the data of its end."""
    made = connection(uid)
    events = feed.events()
    ended = {"connection": fingerprint(made.id)}
    assert events[-1] == ("connection.opened", ended | {"user": user(uid), "until": made.expires_at * 1000})
    assert [kind for kind, _ in events[:-1]] in ([], ["connection.ended"])
    return ended


def test_connection_that_is_replaced_or_stopped_ends_once(feed: Feed, device: str) -> None:
    first = connection_of(feed, device, "ann")
    made = connection("ann")
    second = {"connection": fingerprint(made.id)}
    assert feed.events() == [
        ("connection.ended", first),
        ("connection.opened", second | {"user": user("ann"), "until": made.expires_at * 1000}),
    ]
    assert admin("connections", "DELETE", f"connections/{identity.opaque(device)}/ann").status == 200
    assert feed.events() == [("connection.ended", second)]


def test_time_to_live_ends_a_connection(feed: Feed, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = connection_of(feed, device, "ann")
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
