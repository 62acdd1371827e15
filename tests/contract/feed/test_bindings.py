"""Events of bindings, shares and registrations."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.core import clock
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests import asseco, rufus
from tests.feed import Feed, person, user
from tests.http_api import OPERATOR, admin
from tests.openid import CUSTOMER, OTHER, Bank
from tests.quectel import DEVICE, DK, ME, PK, World, as_user, ask, succeeded, token
from tests.quectel import OTHER as FRIEND
from tests.quectel import THIRD as GUEST
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


def shared(feed: Feed, uid: str = FRIEND, seconds: int = LATER) -> int:
    """Share ME's device with a user, who accepts. Return the end of the share in milliseconds."""
    until = (clock.seconds() + seconds) * 1000
    accepting = until - 1000
    code = ask(ME, "share_info", **KEYS, sharingExpireAt=until, acceptingExpireAt=accepting).json()["data"]
    assert ask(uid, "share_device", shareCode=code).json()["code"] == 200
    assert feed.types() == ["device.shared", "device.share_accepted"]
    return until


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


def test_user_binds_renames_and_unbinds(feed: Feed) -> None:
    World()
    succeeded(as_user(ME))
    held = {"binding": binding()}
    # The device was manufactured before the feed began.
    events = feed.events()
    held["holder"] = user(ME)
    assert events == [("device.registered", {}), ("device.bound", held | {"exclusive": True})]
    ask(ME, "set_device_info", **KEYS, deviceName="Door")
    form = urlencode(KEYS).encode()
    assert send("quectel.regenerate_auth_key", {"authorization": token(ME)}, body=form).json()["code"] == 200
    assert feed.events() == [("device.renamed", held)]
    ask(ME, "unbundling_device_dk", **KEYS)
    assert feed.events() == [("device.unbound", held | {"cause": "holder"})]


def test_share_is_offered_accepted_and_given_back(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME)}
    until = (clock.seconds() + LATER) * 1000
    code = ask(ME, "share_info", **KEYS, sharingExpireAt=until, acceptingExpireAt=until - 1000).json()["data"]
    assert feed.events() == [("device.shared", held | {"until": until})]
    ask(FRIEND, "share_device", shareCode=code)
    events = feed.events()
    share = held | {"user": user(FRIEND)}
    assert events == [("device.share_accepted", share | {"until": until})]
    ask(FRIEND, "set_device_info", **KEYS, deviceName="Friend's")
    assert feed.events() == [("device.renamed", {"binding": held["binding"], "holder": user(FRIEND)})]
    ask(FRIEND, "unbundling_device_dk", **KEYS)
    assert feed.events() == [("device.share_ended", share | {"cause": "ended"})]
    ask(FRIEND, "share_device", shareCode=code)
    assert feed.events() == [("device.share_accepted", share | {"until": until})]
    ask(FRIEND, "unbundling_device_dk", **KEYS)
    assert feed.events() == [("device.share_ended", share | {"cause": "ended"})]


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
    until = shared_again(feed)
    share = held | {"user": user(FRIEND)}
    ask(ME, "unbundling_device_dk", **KEYS)
    assert feed.events() == [
        ("device.shared", held | {"until": until}),
        ("device.share_ended", share | {"cause": "expired"}),
        ("device.share_accepted", share | {"until": until}),
        ("device.share_ended", share | {"cause": "ended"}),
        ("device.unbound", held | {"cause": "holder"}),
    ]


def shared_again(feed: Feed) -> int:
    until = (clock.seconds() + LATER) * 1000
    code = ask(ME, "share_info", **KEYS, sharingExpireAt=until, acceptingExpireAt=until - 1000).json()["data"]
    ask(FRIEND, "share_device", shareCode=code)
    return until


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_time_to_live_ends_an_expired_share(feed: Feed, wait: Callable[[], None], mode: Mode) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed, seconds=60)
    wait()
    feed.expire()
    assert feed.events() == [("device.share_ended", held | {"user": user(FRIEND), "cause": "expired"})]
    ask(ME, "unbundling_device_dk", **KEYS)
    assert feed.events() == [("device.unbound", held | {"cause": "holder"})]


def test_each_user_holds_the_device_in_multi_mode(feed: Feed) -> None:
    mine: dict[str, Any] = {"binding": bound(feed, Mode.MULTI), "holder": user(ME)}
    succeeded(as_user(GUEST))
    events = feed.events()
    theirs = {"binding": item_at(items.user_binding(DEVICE, GUEST))["binding"], "holder": user(GUEST)}
    assert events == [("device.bound", theirs | {"exclusive": False})]
    shared(feed)
    share = mine | {"user": user(FRIEND)}
    ask(ME, "unbundling_device_dk", **KEYS)
    # The share has an item of its own.
    assert feed.events() == [
        ("device.unbound", mine | {"cause": "holder"}),
        ("device.share_ended", share | {"cause": "ended"}),
    ]


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_operator_who_ends_a_binding_is_named(feed: Feed, mode: Mode) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed)
    query = {"uid": ME} if mode is Mode.MULTI else {}
    answer = admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"}, query=query)
    assert answer.status == 200
    ended = {"cause": "operator", "operator": OPERATOR, "reason": "lost"}
    assert sorted(feed.events()) == sorted(
        [
            ("device.share_ended", held | {"user": user(FRIEND)} | ended),
            ("device.unbound", held | ended),
        ]
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


def test_operator_who_ends_a_share_is_named(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed, Mode.MULTI), "holder": user(ME)}
    shared(feed)
    admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"}, query={"uid": FRIEND})
    ended = {"cause": "operator", "operator": OPERATOR, "reason": "lost"}
    assert feed.events() == [("device.share_ended", held | {"user": user(FRIEND)} | ended)]


def operate(action: str, **body: Any) -> None:
    answer = admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/{action}", body or None)
    assert answer.status == 200, answer.body


def test_offer_is_made_declined_and_withdrawn(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME), "operator": OPERATOR}
    for end, body, cause in (("decline", {"uid": FRIEND}, "declined"), ("withdraw", {}, "withdrawn")):
        operate("offer", to=FRIEND, days=2)
        (offered,) = feed.record()
        offer = item_at(items.owner(DEVICE))["offer"]
        made = held | {"user": user(FRIEND)}
        assert offered["type"] == "device.offered"
        assert offered["data"].items() >= (made | {"until": offer["until"] * 1000}).items()
        operate(end, **body)
        assert feed.events() == [("device.offer_ended", made | {"cause": cause})]


def test_expired_offer_is_replaced_without_an_end(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(feed)
    operate("offer", to=FRIEND, days=1)
    assert feed.types() == ["device.offered"]
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 86_400_000)
    operate("offer", to=FRIEND)
    assert feed.types() == ["device.offered"]


def test_transfer_ends_shares_and_binding_before_the_next(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME)}
    shared(feed)
    operate("offer", to=FRIEND)
    assert feed.types() == ["device.offered"]
    operate("accept", uid=FRIEND)
    events = feed.events()
    how = {"cause": "transferred", "operator": OPERATOR}
    assert events == [
        ("device.share_ended", held | {"user": user(FRIEND)} | how),
        ("device.unbound", held | how),
        ("device.bound", {"binding": binding(), "holder": user(FRIEND), "exclusive": True}),
    ]


@pytest.mark.parametrize(("act", "cause"), [("retire", "retired"), ("return", "returned")])
@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_device_taken_from_its_holder_is_unbound(feed: Feed, mode: Mode, act: str, cause: str) -> None:
    held: dict[str, Any] = {"binding": bound(feed, mode), "holder": user(ME)}
    shared(feed)
    operate(act, reason="recalled")
    how = {"operator": OPERATOR, "reason": "recalled"}
    found = dict(feed.events())
    assert found == {
        "device.share_ended": held | {"user": user(FRIEND), "cause": cause} | how,
        "device.unbound": held | {"cause": cause} | how,
        f"device.{cause}": how,
    }


def test_erased_receiver_ends_the_offer(feed: Feed) -> None:
    held: dict[str, Any] = {"binding": bound(feed), "holder": user(ME), "operator": OPERATOR}
    operate("offer", to=FRIEND)
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


def test_customer_registers_blocks_and_unregisters(feed: Feed, bank: Bank) -> None:
    asseco.register(bank, asseco.SAMPLE)
    held: dict[str, Any] = {"binding": binding(asseco.DEVICE)}
    events = feed.events()
    held["holder"] = person(identity.customer_holder(CUSTOMER))
    assert held["holder"]["kind"] == "customer"
    assert events == [("device.registered", {}), ("device.bound", held | {"exclusive": True})]
    for name, body, kind in (
        ("set_nickname", {"nickname": "New"}, "device.renamed"),
        ("block_device", None, "device.blocked"),
        ("unblock_device", None, "device.unblocked"),
    ):
        assert asseco.ask(bank, name, body=body).status in (200, 204)
        assert feed.events() == [(kind, held)]
    asseco.unregister(bank)
    assert feed.events() == [("device.unbound", held | {"cause": "holder"})]
    asseco.register(bank, asseco.SAMPLE, OTHER)
    events = feed.events()
    theirs = {"binding": binding(asseco.DEVICE), "holder": person(identity.customer_holder(OTHER))}
    assert events == [("device.bound", theirs | {"exclusive": True})]
