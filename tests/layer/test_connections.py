"""Leases: whom a relation to the device lets connect, and whom the relay admits to the connection that was made."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bindery import clock, devices, dynamo, identity
from bindery.bindings import record
from bindery.connections import ANY_CLIENT, FIRST_CLIENT, Connection, admit, connect
from bindery.directory import accounts, addresses, products, users
from bindery.dynamo import Delete, Put, Table, Update
from bindery.faults import Fault, Reason
from tests.races import before
from tests.tables import everything, items

pytestmark = pytest.mark.usefixtures("registry")

ADDRESS = "80:00:00:00:00:00:00:F1"
CLIENT = "203.0.113.9"
OTHER = "203.0.113.10"
UID = "ann@example.com #1"
"""Ids come from wherever an operator has them: nothing about them may matter to an expression."""

LATER = 4_000_000_000
LONG_AGO = 1


@pytest.fixture(autouse=True)
def user(registry: None) -> users.User:
    accounts.create("acme", name="Acme")
    users.create(UID, "acme", customer="MIGR00002")
    return found()


def found() -> users.User:
    item = dynamo.get(users.key(UID))
    assert item is not None
    return users.read(item)


def device(mode: products.Mode = products.Mode.UNIQUE) -> str:
    """A quectel device with a service address."""
    products.create("PK", name="P", module_type="M", mode=mode)
    made = devices.manufacture("PK", "SN")
    addresses.assign(ADDRESS, made)
    return made


def own(pk: str, **facts: Any) -> None:
    dynamo.write(
        Put(record.owner(pk), {"binding": "b", "since": "quectel#1", "holder": identity.user_holder(UID)} | facts)
    )


def of_user(pk: str, **facts: Any) -> None:
    dynamo.write(Put(record.of_user(pk, UID), facts))


def make(client_ip: str = CLIENT) -> Connection:
    return connect(found(), ADDRESS, addresses.read(dynamo.get(addresses.key(ADDRESS))), client_ip)


def refused(call: Callable[[], object]) -> Reason:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value.reason


RELATIONS: list[tuple[dict[str, Any], bool]] = [
    ({"holder": f"user#{UID}"}, True),
    ({"holder": "account#acme"}, True),
    ({"holder": "customer#MIGR00002"}, True),
    ({"holder": "customer#MIGR00002", "status": "active"}, True),
    ({"holder": "customer#MIGR00002", "status": "blocked"}, False),
    ({"holder": "customer#MIGR00002", "status": "unregistered"}, False),
    ({"holder": "user#eve"}, False),
    ({"holder": "account#other"}, False),
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
RELATIONS_OF_ONE: list[tuple[dict[str, Any], bool]] = [
    ({"holder": f"user#{UID}", "kind": "binding"}, True),
    ({"holder": f"user#{UID}", "kind": "share", "expires_at": LATER}, True),
    ({"holder": f"user#{UID}", "kind": "share", "expires_at": LONG_AGO}, False),
]


@pytest.mark.parametrize(("facts", "may"), RELATIONS)
def test_who_holds_a_device_or_has_a_share_of_it_connects_and_is_admitted(facts: dict[str, Any], may: bool) -> None:
    pk = device()
    own(pk)
    made = make()
    own(pk, **facts)
    held_to(made, may)


@pytest.mark.parametrize(("facts", "may"), RELATIONS_OF_ONE)
def test_of_a_device_that_several_hold_each_connects_by_a_binding_of_their_own(
    facts: dict[str, Any], may: bool
) -> None:
    pk = device(products.Mode.MULTI)
    of_user(pk, kind="binding")
    made = make()
    of_user(pk, **facts)
    held_to(made, may)


def held_to(made: Connection, may: bool) -> None:
    """Both forms of the rule, a write's condition and a read, say the same."""
    if may:
        assert admit(made.proxy, CLIENT) == made
        assert make().id != made.id
    else:
        before_ = everything()
        assert refused(lambda: admit(made.proxy, CLIENT)) == refused(make) == Reason.NOT_SHARED
        assert everything() == before_


@pytest.mark.parametrize("mode", list(products.Mode))
def test_without_any_relation_nobody_connects(mode: products.Mode) -> None:
    pk = device(mode)
    assert refused(make) is Reason.NOT_SHARED
    # The records of the other kind of mode do not count.
    own(pk) if mode is products.Mode.MULTI else of_user(pk, kind="binding")
    assert refused(make) is Reason.NOT_SHARED
    assert [item for item in items(Table.BINDINGS) if item["sk"].startswith("connection#")] == []


def test_the_refusal_names_the_address() -> None:
    device()
    for call in (make, lambda: connect(found(), ADDRESS, None, CLIENT)):
        with pytest.raises(Fault) as caught:
            call()
        assert caught.value.detail == {"address": ADDRESS}


MEANWHILE: list[tuple[Callable[[str], object], Reason]] = [
    (lambda pk: own(pk, holder="user#eve"), Reason.NOT_SHARED),
    (lambda pk: dynamo.write(Delete(record.owner(pk))), Reason.NOT_SHARED),
    (lambda pk: devices.ban(pk, "stolen"), Reason.DEVICE_BANNED),
    (lambda pk: devices.set_active(pk, False), Reason.DEVICE_INACTIVE),
    (lambda pk: addresses.withdraw(ADDRESS), Reason.NOT_SHARED),
    (lambda pk: (devices.set_active(pk, False), devices.ban(pk, "stolen")), Reason.DEVICE_BANNED),
    (lambda pk: (devices.ban(pk, "stolen"), own(pk, holder="user#eve")), Reason.NOT_SHARED),
]


@pytest.mark.parametrize(("change", "reason"), MEANWHILE)
def test_what_changes_between_the_read_and_the_lease_refuses_it(
    change: Callable[[str], object], reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    pk = device()
    own(pk)
    before(monkeypatch, "transact_write_items", lambda: change(pk))
    assert refused(make) is reason
    assert [item for item in items(Table.BINDINGS) if item["sk"].startswith("connection#")] == []


@pytest.mark.parametrize(("change", "reason"), MEANWHILE)
def test_what_changes_after_the_lease_ends_it(change: Callable[[str], object], reason: Reason) -> None:
    pk = device()
    own(pk)
    made = make(FIRST_CLIENT)
    change(pk)
    before_ = everything()
    assert refused(lambda: admit(made.proxy, CLIENT)) is reason
    assert everything() == before_


@pytest.mark.parametrize("end", [lambda: users.set_enabled(UID, False), lambda: accounts.set_enabled("acme", False)])
def test_a_user_who_is_shut_out_is_no_longer_admitted(end: Callable[[], None]) -> None:
    own(device())
    made = make()
    end()
    assert refused(lambda: admit(made.proxy, CLIENT)) is Reason.NOT_SHARED


@pytest.mark.parametrize(
    ("host_ip", "comers"),
    [
        (CLIENT, [(CLIENT, True), (OTHER, False), (CLIENT, True), ("no address", False), ("", False)]),
        (ANY_CLIENT, [(OTHER, True), (CLIENT, True), ("2001:db8::1", True), ("no address", False)]),
        (FIRST_CLIENT, [("no address", False), (OTHER, True), (CLIENT, False), (OTHER, True)]),
        ("2001:db8::1", [("2001:DB8:0:0::1", True), ("2001:db8::2", False), (CLIENT, False)]),
        (FIRST_CLIENT, [("2001:DB8:0:0::1", True), ("2001:db8::1", True), (CLIENT, False)]),
    ],
)
def test_a_connection_is_for_the_client_named_for_any_or_for_the_first(
    host_ip: str, comers: list[tuple[str, bool]]
) -> None:
    own(device())
    made = make(host_ip)
    for comer, may in comers:
        if may:
            assert admit(made.proxy, comer) == made
        else:
            assert refused(lambda comer=comer: admit(made.proxy, comer)) is Reason.ACCESS_DENIED  # type: ignore[misc]


def test_of_two_first_clients_at_once_one_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device())
    made = make(FIRST_CLIENT)
    before(monkeypatch, "update_item", lambda: admit(made.proxy, OTHER))
    assert refused(lambda: admit(made.proxy, CLIENT)) is Reason.ACCESS_DENIED
    assert admit(made.proxy, OTHER) == made


def test_the_first_client_of_an_ended_connection_does_not_latch_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device())
    made = make(FIRST_CLIENT)
    before(monkeypatch, "update_item", lambda: make(FIRST_CLIENT))
    assert refused(lambda: admit(made.proxy, OTHER)) is Reason.NOT_FOUND
    (lease,) = (item for item in items(Table.BINDINGS) if item["sk"].startswith("connection#"))
    assert lease["client_ip"] == FIRST_CLIENT


def test_a_connection_ends_when_its_caller_connects_again() -> None:
    own(device())
    first, second = make(), make()
    assert refused(lambda: admit(first.proxy, CLIENT)) is Reason.NOT_FOUND
    assert admit(second.proxy, CLIENT) == second


def test_a_label_that_the_index_still_shows_is_checked_against_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device())
    first = make()
    before(monkeypatch, "get_item", make)
    assert refused(lambda: admit(first.proxy, CLIENT)) is Reason.NOT_FOUND


def test_an_unknown_label_is_not_found() -> None:
    assert refused(lambda: admit("abcdefgh", CLIENT)) is Reason.NOT_FOUND


def test_a_connection_has_ended_in_the_second_that_it_ends_though_it_still_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own(device())
    monkeypatch.setattr(clock, "now", lambda: 1_000_000_999)
    made = make()
    assert (made.expires_at, made.seconds_left()) == (1_028_800, 28800)
    monkeypatch.setattr(clock, "now", lambda: 1_028_799_999)
    assert admit(made.proxy, CLIENT) == made
    monkeypatch.setattr(clock, "now", lambda: 1_028_800_000)
    assert refused(lambda: admit(made.proxy, CLIENT)) is Reason.NOT_FOUND


def test_a_share_ends_in_the_second_that_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    own(device(), holder="user#eve", shares={UID: 1_000_001})
    monkeypatch.setattr(clock, "now", lambda: 1_000_000_999)
    made = make()
    assert admit(made.proxy, CLIENT) == made
    monkeypatch.setattr(clock, "now", lambda: 1_000_001_000)
    assert refused(make) == refused(lambda: admit(made.proxy, CLIENT)) == Reason.NOT_SHARED


def test_leases_are_found_by_label_and_by_device_and_not_among_what_a_user_holds() -> None:
    own(device())
    make()
    held = dynamo.query(
        Table.BINDINGS, "#holder = :holder", {":holder": identity.user_holder(UID)}, index=record.BY_HOLDER
    )
    assert [item["sk"] for item in held] == ["owner"]


def test_labels_are_eight_lower_case_letters_and_hardly_ever_repeat() -> None:
    own(device())
    labels = [make().proxy for _ in range(20)]
    assert len(set(labels)) == 20
    assert set(map(len, labels)) == {8}
    assert set(itertools.chain(*labels)) <= set("abcdefghijklmnopqrstuvwxyz")


def test_a_user_who_was_made_another_customer_is_judged_as_that_one() -> None:
    pk = device()
    own(pk, holder="customer#MIGR00002")
    made = make()
    dynamo.write(Update(users.key(UID), "SET #customer = :none", {":none": None}))
    assert refused(lambda: admit(made.proxy, CLIENT)) is Reason.NOT_SHARED
