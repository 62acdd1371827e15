"""Leases: the users who can connect to a device, and the clients that the relay authorizes."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key, Put, Table
from bindery.connectivity import leases, service_addresses
from bindery.connectivity.leases import ANY_CLIENT, FIRST_CLIENT, Connection, admit, stop
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import accounts, products, sessions, users
from bindery.operators import forced_unbind
from bindery.quectel import binding, user_devices, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from tests import quectel
from tests.layer.refusals import refused
from tests.records import ADDRESS, company_device, connection, registration
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")

CLIENT = "203.0.113.9"
LABEL = "proxy" + "a" * 16
OTHER = "203.0.113.10"
UID = "ann@example.com #1"
"""User id with special characters: an operator can choose any id, and expressions must not depend on it."""

LATER = 4_000_000_000
LONG_AGO = 1


@pytest.fixture(autouse=True)
def _user(registry: None) -> None:
    accounts.create("acme", name="Acme")
    users.create(UID, "acme", customer="MIGR00002")


def device(mode: Mode = Mode.UNIQUE) -> str:
    """Create a quectel device with a service address."""
    products.create("PK", name="P", module_type="M", mode=mode)
    made = devices.manufacture("PK", "SN")
    service_addresses.assign(ADDRESS, made)
    return made


def own(pk: str, **facts: Any) -> None:
    """Write the owner's binding, keeping the leases that it named before."""
    ours = {"binding": "b", "holder_sort": "quectel#1", "holder": identity.user_holder(UID)}
    dynamodb.write(Put(items.owner(pk), ours | {"leases": named(items.owner(pk))} | facts))


def of_user(pk: str, **facts: Any) -> None:
    place = items.user_binding(pk, UID)
    dynamodb.write(Put(place, {"kind": "binding", "leases": named(place)} | facts))


def named(place: Key) -> dict[str, Any]:
    found = (dynamodb.get(place) or {}).get("leases", {})
    assert isinstance(found, dict)
    return found


def make(client_ip: str = CLIENT) -> Connection:
    return connection(UID, ADDRESS, client_ip)


RELATIONS: list[tuple[dict[str, Any], bool]] = [
    ({"holder": f"user#{UID}"}, True),
    ({"holder": "account#acme"}, True),
    ({"holder": "account#acme#15"}, True),
    ({"holder": "customer#MIGR00002"}, True),
    ({"holder": "customer#MIGR00002", "status": "active"}, True),
    ({"holder": "customer#MIGR00002", "status": "blocked"}, False),
    ({"holder": "customer#MIGR00002", "status": "unregistered"}, False),
    ({"holder": "user#eve"}, False),
    ({"holder": "account#other"}, False),
    ({"holder": "account#acme:1"}, False),
    ({"holder": "user#acme"}, False),
    ({"holder": f"account#{UID}"}, False),
    ({"holder": f"customer#{UID}"}, False),
    ({"holder": "user#eve", "shares": {}}, False),
    ({"holder": "user#eve", "shares": {UID: LATER}}, True),
    ({"holder": "user#eve", "shares": {UID: LONG_AGO}}, False),
    ({"holder": "user#eve", "shares": {"bob": LATER}}, False),
    ({"holder": "user#eve", "uid": LATER, "shares": {"uid": LATER}}, False),
    ({"holder": "user#eve", "kind": "binding", "expires_at": LATER}, False),
]
RELATIONS_IN_MULTI_MODE: list[tuple[dict[str, Any], bool]] = [
    ({"holder": f"user#{UID}", "kind": "binding"}, True),
    ({"holder": f"user#{UID}", "kind": "share", "expires_at": LATER}, True),
    ({"holder": f"user#{UID}", "kind": "share", "expires_at": LONG_AGO}, False),
]


@pytest.mark.parametrize(
    ("mode", "write", "facts", "may"),
    [
        *((Mode.UNIQUE, own, *row) for row in RELATIONS),
        *((Mode.MULTI, of_user, *row) for row in RELATIONS_IN_MULTI_MODE),
    ],
)
def test_holder_or_share_recipient_can_connect(
    mode: Mode, write: Callable[..., None], facts: dict[str, Any], may: bool
) -> None:
    pk = device(mode)
    write(pk)
    made = make()
    write(pk, **facts)
    # Both forms of the rule, the write condition and the read, agree.
    if may:
        assert admit(made.label, CLIENT).lease["connection"] == made.id
        assert make().id != made.id
    else:
        before_ = everything()
        assert refused(lambda: admit(made.label, CLIENT)) == refused(make) == Reason.NOT_SHARED
        assert everything() == before_


@pytest.mark.parametrize("mode", list(Mode))
def test_user_without_binding_or_share_cannot_connect(mode: Mode) -> None:
    pk = device(mode)
    assert refused(make) is Reason.NOT_SHARED
    # Items of the other kind of mode do not count.
    own(pk) if mode is Mode.MULTI else of_user(pk)
    assert refused(make) is Reason.NOT_SHARED
    assert [item for item in stored(Table.BINDINGS) if item["sk"].startswith("connection#")] == []


def lasting(pk: str) -> set[str]:
    """Return the active leases of a device, and check that the list by caller shows them too."""
    by_device, by_caller = (leases.list_live(10, None, **by).items for by in ({"device": pk}, {"caller": UID}))
    assert by_device == by_caller
    return {lease["connection"] for lease in by_device}


def ban(pk: str) -> None:
    devices.ban(pk, "stolen")


def withdraw(_: str) -> None:
    service_addresses.withdraw(ADDRESS)


def assign(pk: str) -> None:
    service_addresses.assign(ADDRESS, pk)


def each(*changes: Callable[[str], object]) -> Callable[[str], object]:
    return lambda pk: [change(pk) for change in changes]


def of_user_record(**changes: Any) -> Callable[[str], object]:
    return lambda _: users.change(UID, **changes)


def enabled(module: Any, name: str, now: bool) -> Callable[[str], object]:
    return lambda _: module.set_enabled(name, now)


def nothing(_: str) -> None:
    """Do nothing."""


US = f"user#{UID}"
PASSING: dict[str, tuple[Callable[[str], object], Callable[[str], object], str, Reason]] = {
    "ban": (ban, devices.unban, US, Reason.DEVICE_BANNED),
    "deactivation": (devices.deactivate, devices.activate, US, Reason.DEVICE_INACTIVE),
    "address": (withdraw, assign, US, Reason.NOT_SHARED),
    "ban of a deactivated device": (
        each(devices.deactivate, ban),
        each(devices.activate, devices.unban),
        US,
        Reason.DEVICE_BANNED,
    ),
    "ban of a device without its address": (each(ban, withdraw), each(devices.unban, assign), US, Reason.NOT_SHARED),
    "user": (enabled(users, UID, False), enabled(users, UID, True), US, Reason.NOT_SHARED),
    "account": (enabled(accounts, "acme", False), enabled(accounts, "acme", True), "account#acme", Reason.NOT_SHARED),
    "customer": (
        of_user_record(customer=None),
        of_user_record(customer="MIGR00002"),
        "customer#MIGR00002",
        Reason.NOT_SHARED,
    ),
    "revocation": (lambda _: users.revoke_sessions(UID), nothing, US, Reason.NOT_FOUND),
    "domain": (of_user_record(domain="D"), nothing, US, Reason.NOT_FOUND),
}
"""Ways to end a lease: how to do it, how to undo it if possible, the device's holder, and the reason until then."""


@pytest.mark.parametrize("case", PASSING)
def test_ended_lease_stays_ended_when_its_obstacle_is_lifted(case: str) -> None:
    end, lift, holder, reason = PASSING[case]
    pk = device()
    own(pk, holder=holder)
    made = make(FIRST_CLIENT)
    end(pk)
    stands = everything()
    assert refused(lambda: admit(made.label, CLIENT)) is reason
    assert lasting(pk) == set()
    assert everything() == stands
    lift(pk)
    assert refused(lambda: admit(made.label, CLIENT)) is Reason.NOT_FOUND
    assert lasting(pk) == set()
    again = make()
    assert admit(again.label, CLIENT).lease["connection"] == again.id
    assert lasting(pk) == {again.id}


@pytest.mark.parametrize("case", list(PASSING)[:5])
def test_device_that_cannot_be_reached_gets_no_lease(case: str) -> None:
    end, _, holder, reason = PASSING[case]
    pk = device()
    own(pk, holder=holder)
    end(pk)
    stands = everything()
    assert refused(make) is reason
    assert everything() == stands


def test_user_without_access_does_not_learn_of_a_ban() -> None:
    pk = device()
    own(pk)
    made = make()
    devices.ban(pk, "stolen")
    own(pk, holder="user#eve")
    assert refused(lambda: admit(made.label, CLIENT)) == refused(make) == Reason.NOT_SHARED


@pytest.mark.parametrize("lift", [devices.unban, devices.activate])
def test_needless_unban_or_activation_keeps_connections(lift: Callable[[str], object]) -> None:
    pk = device()
    own(pk)
    made = make()
    lift(pk)
    assert admit(made.label, CLIENT).lease["connection"] == made.id


@pytest.mark.parametrize(
    ("host_ip", "comers"),
    [
        (CLIENT, [(CLIENT, True), (OTHER, False), (CLIENT, True), ("no address", False), ("", False)]),
        (ANY_CLIENT, [(OTHER, True), (CLIENT, True), ("2001:db8::1", True), ("no address", False)]),
        (FIRST_CLIENT, [("no address", False), (OTHER, True), (CLIENT, False), (OTHER, True)]),
        ("2001:db8::1", [("2001:DB8:0:0::1", True), ("2001:db8::2", False), (CLIENT, False)]),
        ("2001:DB8:0:0:0::1", [("2001:db8::1", True), ("2001:DB8::1", True), ("2001:db8::2", False)]),
        (f"::ffff:{CLIENT}", [(CLIENT, True), (OTHER, False)]),
        (FIRST_CLIENT, [("2001:DB8:0:0::1", True), ("2001:db8::1", True), (CLIENT, False)]),
    ],
)
def test_connection_is_for_a_named_any_or_the_first_client(host_ip: str, comers: list[tuple[str, bool]]) -> None:
    own(device())
    made = make(host_ip)
    for comer, may in comers:
        if may:
            assert admit(made.label, comer).lease["connection"] == made.id
        else:
            assert refused(lambda comer=comer: admit(made.label, comer)) is Reason.ACCESS_DENIED  # type: ignore[misc]


OTHERS = "80:00:00:00:00:00:00:F2"


@pytest.fixture
def same_label(monkeypatch: pytest.MonkeyPatch) -> tuple[Connection, Connection]:
    """Create connections of two accounts, each to its own device, with the same random label."""
    monkeypatch.setattr("secrets.choice", lambda letters: letters[0])
    own(device())
    mine = make(ANY_CLIENT)
    accounts.create("other", name="Other")
    users.create("eve", "other")
    service_addresses.assign(OTHERS, company_device("other"))
    theirs = connection("eve", OTHERS)
    assert mine.label == theirs.label == LABEL
    return mine, theirs


def test_two_connections_with_one_label_are_both_refused(same_label: tuple[Connection, Connection]) -> None:
    stands = everything()
    assert refused(lambda: admit(LABEL, CLIENT)) is Reason.NOT_FOUND
    assert everything() == stands


def test_client_cannot_use_anothers_connection_of_same_label(same_label: tuple[Connection, Connection]) -> None:
    mine, theirs = same_label
    lease = items.connection(theirs.device, "eve")
    dynamodb.write(lease.update(set={"client_ip": OTHER}))
    assert refused(lambda: admit(LABEL, CLIENT)) is Reason.NOT_FOUND
    devices.ban(mine.device, "stolen")
    assert refused(lambda: admit(LABEL, CLIENT)) is Reason.ACCESS_DENIED
    assert admit(LABEL, OTHER).lease["connection"] == theirs.id


def test_connection_ends_at_its_expiry_even_if_still_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device())
    monkeypatch.setattr(clock, "now", lambda: 1_000_000_999)
    made = make()
    assert (made.expires_at, made.seconds_left()) == (1_028_800, 28800)
    monkeypatch.setattr(clock, "now", lambda: 1_028_799_999)
    assert admit(made.label, CLIENT).lease["connection"] == made.id
    monkeypatch.setattr(clock, "now", lambda: 1_028_800_000)
    assert refused(lambda: admit(made.label, CLIENT)) is Reason.NOT_FOUND


def test_share_ends_at_its_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device(), holder="user#eve", shares={UID: 1_000_001})
    monkeypatch.setattr(clock, "now", lambda: 1_000_000_999)
    made = make()
    assert admit(made.label, CLIENT).lease["connection"] == made.id
    monkeypatch.setattr(clock, "now", lambda: 1_000_001_000)
    assert refused(make) == refused(lambda: admit(made.label, CLIENT)) == Reason.NOT_SHARED


def company_bound() -> tuple[str, Callable[[], object]]:
    return identity.company_device("acme", "M", "S"), company_device


def user_bound(mode: Mode) -> tuple[str, Callable[[], object]]:
    user_domains.create("D")
    users.change(UID, domain="D")
    products.create("PK", name="P", module_type="M", mode=mode)
    made = devices.manufacture("PK", "SN", device_key="ABCD1234")

    def bind() -> None:
        session = sessions.verify(sessions.issue(UID, "quectel", 60)[0], "quectel")
        binding.bind(session, "PK", "SN", capabilities=None, name=None, fid=None, frid=None, common=False)

    return made, bind


def customer_bound() -> tuple[str, Callable[[], object]]:
    return identity.customer_device("356"), lambda: registration("MIGR00002")


def accepted(mode: Mode) -> tuple[str, Callable[[], object]]:
    made, _ = user_bound(mode)
    users.create("eve", "acme", domain="D")
    session = quectel.session("eve")
    binding.bind(session, "PK", "SN", capabilities=None, name=None, fid=None, frid=None, common=False)
    return made, lambda: quectel.share("eve", UID, LATER, pk="PK", dk="ABCD1234")


BOUND: dict[str, tuple[Callable[[], tuple[str, Callable[[], object]]], Callable[[str], object]]] = {
    "rufus, ended by force": (company_bound, lambda pk: forced_unbind.end(pk, "moved")),
    "rufus, removed": (company_bound, lambda pk: dynamodb.write(Delete(items.owner(pk)))),
    "quectel, unique": (lambda: user_bound(Mode.UNIQUE), lambda pk: forced_unbind.end(pk, "moved")),
    "quectel, rotating": (
        lambda: user_bound(Mode.ROTATING),
        lambda pk: dynamodb.write(items.owner(pk).update(set={"holder": "user#eve"})),
    ),
    "quectel, multi": (lambda: user_bound(Mode.MULTI), lambda pk: forced_unbind.end(pk, "moved", uid=UID)),
    "quectel, a share in multi mode": (
        lambda: accepted(Mode.MULTI),
        lambda pk: forced_unbind.end(pk, "moved", uid=UID),
    ),
    "quectel, a share given back": (
        lambda: accepted(Mode.UNIQUE),
        lambda pk: user_devices.unbind(quectel.session(UID), "PK", "ABCD1234"),
    ),
    "asseco, unregistered": (customer_bound, lambda pk: owned_devices.unregister("MIGR00002", "356")),
    "asseco, ended by force": (customer_bound, lambda pk: forced_unbind.end(pk, "moved")),
}


@pytest.mark.parametrize("case", BOUND)
def test_lease_stays_ended_when_its_holder_binds_again(case: str) -> None:
    made, end = BOUND[case]
    pk, bind = made()
    bind()
    service_addresses.assign(ADDRESS, pk)
    lease = make()
    assert admit(lease.label, CLIENT).lease["connection"] == lease.id
    assert [item["connection"] for item in leases.list_live(10, None, device=pk).items] == [lease.id]
    end(pk)
    assert refused(lambda: admit(lease.label, CLIENT)) is Reason.NOT_SHARED
    bind()
    assert refused(lambda: admit(lease.label, CLIENT)) is Reason.NOT_FOUND
    assert leases.list_live(10, None, device=pk).items == leases.list_live(10, None, caller=UID).items == []
    assert refused(lambda: stop(pk, UID)) is Reason.NOT_FOUND
    again = make()
    assert admit(again.label, CLIENT).lease["connection"] == again.id
    assert refused(lambda: admit(lease.label, CLIENT)) is Reason.NOT_FOUND


def test_retry_of_a_bind_keeps_its_connections() -> None:
    pk, bind = company_bound()
    bind()
    service_addresses.assign(ADDRESS, pk)
    made = make()
    bind()
    assert admit(made.label, CLIENT).lease["connection"] == made.id


def names_met(pk: str) -> set[str]:
    return {name["id"] for name in named(items.owner(pk)).values()}


@pytest.mark.parametrize(
    ("until", "left"),
    [
        (lambda n: LONG_AGO if n % 2 else LATER, {f"id{n}" for n in range(0, leases.CALLER_LIMIT, 2)}),
        (lambda n: LATER - n, {f"id{n}" for n in range(leases.CALLER_LIMIT - 1)}),
    ],
    ids=["expired leases are dropped", "first lease to expire is dropped"],
)
def test_full_binding_drops_callers_to_make_room(until: Callable[[int], int], left: set[str]) -> None:
    pk = device()
    own(pk, leases={f"other{n}": {"id": f"id{n}", "until": until(n)} for n in range(leases.CALLER_LIMIT)})
    made = make()
    assert names_met(pk) == left | {made.id}
    assert admit(made.label, CLIENT).lease["connection"] == made.id
    again = make()
    assert names_met(pk) == left | {again.id}


def test_binding_without_leases_records_the_first_one() -> None:
    pk = device()
    dynamodb.write(
        Put(items.owner(pk), {"holder": identity.user_holder(UID), "binding": "b", "holder_sort": "quectel#1"})
    )
    made = make()
    assert admit(made.label, CLIENT).lease["connection"] == made.id
    dynamodb.write(items.owner(pk).update(remove=["leases"]))
    assert refused(lambda: admit(made.label, CLIENT)) is Reason.NOT_FOUND
