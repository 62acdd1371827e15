"""Export and erasure of a user's data: complete, and without effect on other users."""

import base64
import json
from typing import Any

import pytest

from bindery.asseco import issued_devices, owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Put, Table
from bindery.connectivity import access, service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, products, sessions, users
from bindery.feed import chain, people, webhooks
from bindery.operators import forced_unbind, privacy
from bindery.quectel import binding, families, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import calls, moto_registry, quectel
from tests.concurrency.races import before
from tests.http_api import OPERATOR, Response, admin
from tests.invariants import broken
from tests.operators.remains import erase, export
from tests.records import ADDRESS, company_device, connection, registration, user
from tests.tables import Tables, acts_in, everything, item_at, stored, without_acts

pytestmark = pytest.mark.usefixtures("registry")

ME, OTHER = "ada@example.com", "ben"
CUSTOMER = "MIGR00002"
CARD_HELD = {"device_id": "C1", "kind": "payment-card", "holder_id": CUSTOMER, "cardholder_name": "Ada Lovelace"}
CARD_HELD |= {"card_kind": "debit-card", "card_brand": "maestro"}
PERSON: dict[str, Any] = {"domain": "D", "home_mode": True, "customer": CUSTOMER}
PERSON |= {"email": "Ada@Example.com", "phone": "+447700900123"}
REMOVED = {"service_names": 1, "families": 3, "bars": 1, "shares": 2, "bindings": 3}
"""Records of Ada that every erasure removes, whatever happened before."""
LATER = 4_000_000_000


def bind(uid: str, product_key: str, serial_number: str, **home: Any) -> None:
    session = sessions.verify(sessions.issue(uid, "quectel", 60)[0], "quectel")
    given: dict[str, Any] = {"fid": None, "frid": None, "common": False} | home
    binding.bind(session, product_key, serial_number, capabilities=None, name=None, **given)


def device(product_key: str, serial_number: str) -> str:
    return identity.manufactured_device(product_key, serial_number)


@pytest.fixture
def others(registry: None) -> None:
    """Create Ben, with devices, a family and a bank customer, in Ada's account and domain."""
    accounts.create("acme", name="Acme")
    user_domains.create("D")
    users.create(OTHER, "acme", domain="D", home_mode=True, customer="MIGR00003")
    for key, mode in (("multi", Mode.MULTI), ("unique", Mode.UNIQUE)):
        products.create(key, name=key, module_type="M", mode=mode)
        for number in range(4):
            devices.manufacture(key, f"S{number}", device_key=f"F4A1B2C3D4E{number}")
    families.create("ben's", OTHER)
    families.create("theirs", "cleo", members=[OTHER])
    bind(OTHER, "unique", "S0", fid="ben's", common=True)
    bind(OTHER, "multi", "S0", fid="ben's", common=True)
    bind(OTHER, "multi", "S1", fid="ben's")
    registration("MIGR00003", "355", "Phone")
    issued_devices.enter("MIGR00003", device_id="T1", kind="otp-token")


@pytest.fixture
def ada(others: None) -> Tables:
    """Create Ada, with data of every kind. Return the tables as they were before."""
    before = everything()
    users.create(ME, "acme", **PERSON)
    families.create("ada's", ME, rooms=["R1"])
    families.change("ben's", members=[ME, "cleo"])
    families.change("theirs", members=[OTHER, ME])
    bind(ME, "unique", "S1", fid="ada's", frid="R1", common=True)
    bind(ME, "unique", "S2", fid="ben's", common=True)
    bind(ME, "multi", "S0", fid="ben's", common=True)
    for key, number in (("multi", 1), ("unique", 0)):
        quectel.share(OTHER, ME, LATER, pk=key, dk=f"F4A1B2C3D4E{number}")
    registration(CUSTOMER, "356", "Phone")
    registration(CUSTOMER, "357", "Watch")
    owned_devices.unregister(CUSTOMER, "357")
    issued_devices.enter(CUSTOMER, device_id="T2", kind="otp-token")
    issued_devices.enter("MIGR00003", **CARD_HELD, card_status="valid")
    service_addresses.assign(ADDRESS, device("unique", "S1"))
    devices.ban(device("unique", "S2"), "stolen")
    products.bar("multi", ME)
    connection(ME)
    access.rename(user(ME), ADDRESS, service_addresses.find(ADDRESS), "My door", used=None)
    return before


def bound_items(tables: Tables) -> list[dict[str, Any]]:
    """Return the bindings without acts, and the fields that record the last change and when a share was offered."""
    return [
        {name: value for name, value in item.items() if name not in ("changed_by", "changed_at", "offered_until")}
        for item in without_acts(tables)
    ]


def erasing(uid: str = ME) -> Response:
    """Return the response to one pass of an erasure."""
    return admin("privacy", "DELETE", f"privacy/{uid}")


def names(records: list[dict[str, Any]]) -> list[str]:
    return sorted(identity.from_opaque(entry["device"]) for entry in records)


@pytest.mark.usefixtures("ada")
def test_export_contains_all_data_and_no_secrets() -> None:
    users.set_password(ME, "correct horse battery staple")
    found = export(ME)
    own = {"uid": ME, "account": "acme", "role": "regular", "enabled": True, "changed_at": None, "has_password": True}
    assert found["user"] == own | PERSON | {"created_at": found["user"]["created_at"]}
    assert names(found["bindings"]) == [device("multi", "S0"), device("unique", "S1"), device("unique", "S2")]
    assert names(found["shares"]) == [device("multi", "S1"), device("unique", "S0")]
    assert {share["expires_at"] for share in found["shares"]} == {LATER * 1000}
    belongs = [(family["fid"], family["owner"]) for family in found["families"]]
    assert belongs == [("ada's", True), ("ben's", False), ("theirs", False)]
    assert names(found["connections"]) == [device("unique", "S1")]
    registered = [(entry["identifier"], entry["nickname"], entry["status"]) for entry in found["registrations"]]
    assert registered == [("356", "Phone", "active"), ("357", "Watch", "unregistered")]
    assert [entry["device_id"] for entry in found["issued_devices"]] == ["T2"]
    assert found["cards_held"] == [CARD_HELD]
    assert found["service_names"] == [{"address": ADDRESS, "name": "My door"}]
    assert found["complete"] is True
    assert [entry["product_key"] for entry in found["bars"]] == ["multi"]
    shown = json.dumps(found)
    (lease,) = [item for item in stored(Table.BINDINGS) if "label" in item]
    kept = ('"password"', '"leases"', lease["connection"], "generation", "scrypt", lease["label"], "cleo", f'{OTHER}"')
    for secret in kept:
        assert secret not in shown
    for item in stored(Table.BINDINGS):
        assert item.get("binding", lease["label"]) not in shown


@pytest.mark.usefixtures("ada")
def test_incomplete_export_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "EXPORT_LIMIT", 2)
    found = export(ME)
    assert (len(found["bindings"]), found["complete"]) == (2, False)


def test_erasure_deletes_only_the_users_data(ada: Tables) -> None:
    token, _ = sessions.issue(ME, "quectel", 60)
    card = issued_devices.find("MIGR00003", "C1")
    answer = erasing()
    assert (answer.status, answer.json()["complete"]) == (200, False)
    others = {"connections": 1, "registrations": 2, "issued_devices": 1, "cards_held": 1}
    assert answer.json()["removed"] == dict.fromkeys(privacy.KINDS, 0) | REMOVED | others
    assert erase(ME) == {"users": 1}
    left = everything()
    assert bound_items(left) == bound_items(ada)
    anonymous = {"holder_id": "MIGR00003", "cardholder_name": None}
    assert issued_devices.find("MIGR00003", "C1") == card.model_copy(update=anonymous)
    unbound = item_at(items.device(device("unique", "S1")))
    assert (unbound["unbound_by"], unbound["unbind_reason"]) == (OPERATOR, "erased at the request of its user")
    # The registry keeps devices and their bans. Of a family that was Ada's, only the id remains.
    assert {item["pk"] for item in ada["DEVICES"]} < {item["pk"] for item in left["DEVICES"]}
    assert devices.banned(dynamodb.get(items.device(device("unique", "S2"))))
    shell = item_at(items.family("ada's"))
    assert {name: shell[name] for name in ("owner", "members", "rooms")} == {"owner": "", "members": [], "rooms": []}
    assert not {"collection", "common"} & shell.keys()
    home = item_at(items.family("ben's"))
    assert (home["owner"], home["members"], home["common"]) == (
        OTHER,
        ["cleo"],
        {device("unique", "S0"), families.common_entry(device("multi", "S0"), OTHER, Mode.MULTI)},
    )
    for text in (ME, CUSTOMER, "Lovelace"):
        assert text not in json.dumps(left, default=sorted)
    with pytest.raises(Refused, check=lambda refused: refused.reason is Reason.TOKEN_INVALID):
        sessions.verify(token, "quectel").look_up()
    assert (erasing().status, erasing().json()["reason"]) == (404, "not_found")
    assert everything() == left


def test_second_erasure_removes_what_a_late_index_hid(ada: Tables) -> None:
    service_addresses.assign("80:00:00:00:00:00:00:F2", company_device())
    with moto_registry.late_indexes():
        connection(ME, "80:00:00:00:00:00:00:F2")
        removed = erase(ME)
        assert (removed["connections"], removed["users"]) == (1, 1)
        assert dynamodb.get(items.connection(company_device(), ME)) is not None
    assert export(ME)["user"] is None
    assert names(export(ME)["connections"]) == [company_device()]
    assert erase(ME) == {"connections": 1}
    assert erasing().status == 404
    assert admin("privacy", "GET", f"privacy/{ME}").status == 404


def test_late_indexes_hide_no_binding_family_bar_or_registration(ada: Tables) -> None:
    restored = moto_registry.state()
    moto_registry.restore({name: {} for name in restored})
    with moto_registry.late_indexes():
        moto_registry.restore(restored)
        owned_devices.set_push_handle(CUSTOMER, "356", owned_devices.PushPlatform.APNS, "handle")
        found = export(ME)
        assert [(entry["identifier"], entry["status"]) for entry in found["registrations"]] == [("356", "active")]
        assert [entry["fid"] for entry in found["families"]] == ["ada's", "ben's", "theirs"]
        assert erase(ME) == REMOVED | {"registrations": 1, "issued_devices": 1, "users": 1}


def test_user_record_is_deleted_last() -> None:
    accounts.create("acme", name="Acme")
    users.create(ME, "acme")
    families.create("F", ME)
    assert {kind: len(found) for kind, found in export(ME).items() if kind in privacy.KINDS and found} == {
        "families": 1
    }
    passes = [erasing() for _ in range(3)]
    assert [answer.status for answer in passes] == [200, 200, 404]
    first, second = (answer.json() for answer in passes[:2])
    assert (first["removed"]["families"], first["removed"]["users"], first["complete"]) == (1, 0, False)
    assert (sum(second["removed"].values()), second["removed"]["users"], second["complete"]) == (1, 1, True)


def test_erasure_needs_no_user_record(ada: Tables) -> None:
    dynamodb.write(Delete(items.user(ME)))
    assert export(ME)["user"] is None
    assert erase(ME) == REMOVED | {"connections": 1}
    assert {item["pk"] for item in everything()["DIRECTORY"] if ME in json.dumps(item, default=sorted)} == {
        items.email_in_account("acme", "ada@example.com").pk,
        items.email_in_domain("D", "ada@example.com").pk,
        items.phone_in_domain("D", "+447700900123").pk,
    }


@pytest.mark.usefixtures("ada")
def test_next_user_of_an_erased_uid_inherits_nothing() -> None:
    token, _ = sessions.issue(ME, "quectel", 60)
    erase(ME)
    users.create(ME, "acme", domain="D", home_mode=True, customer=CUSTOMER)
    found = export(ME)
    assert {kind: records for kind, records in found.items() if kind not in ("user", "complete", "about")} == {
        kind: [] for kind in (*privacy.KINDS, "presences", "properties", "events") if kind not in ("nicknames", "users")
    }
    with pytest.raises(Refused):
        sessions.verify(token, "quectel").look_up()
    quectel.share(OTHER, ME, LATER, pk="multi", dk="F4A1B2C3D4E1")
    assert names(export(ME)["shares"]) == [device("multi", "S1")]


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(("product_key", "number"), [("unique", 0), ("multi", 1)])
def test_ended_shares_do_not_name_the_erased_sharer(product_key: str, number: int) -> None:
    users.create(ME, "acme", domain="D")
    quectel.share(OTHER, ME, 1, pk=product_key, dk=f"F4A1B2C3D4E{number}")
    found = admin("privacy", "GET", f"privacy/{OTHER}").json()
    ends = {identity.from_opaque(entry["device"]): entry["shared_until"] for entry in found["bindings"]}
    assert [len(shared) for place, shared in ends.items() if place == device(product_key, f"S{number}")] == [1]
    assert ME not in json.dumps(found)
    assert erase(OTHER)["shares"] == (2 if product_key == "multi" else 1)
    assert [item for item in everything()["BINDINGS"] if item.get("by") == OTHER] == []


def test_interrupted_erasure_can_be_repeated(ada: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = False
    for left_to_do in range(1, 40):
        calls = iter(range(left_to_do))

        def fail(operation: Any, real: Any = dynamodb.write, calls: Any = calls) -> None:
            if next(calls, None) is None:
                raise Refused(Reason.UNAVAILABLE)
            real(operation)

        with pytest.MonkeyPatch.context() as failing:
            failing.setattr(dynamodb, "write", fail)
            answer = erasing()
        assert answer.status in (200, 503)
        if finished := answer.status == 200 and answer.json()["complete"]:
            break
    assert finished
    assert bound_items(everything()) == bound_items(ada)
    assert ME not in json.dumps(everything(), default=sorted)


@pytest.mark.usefixtures("ada")
def test_erasure_ignores_stale_index_entries() -> None:
    taken = items.owner(identity.customer_device("356"))
    with moto_registry.late_indexes():
        forced_unbind.end(device("unique", "S1"), "lost")
        dynamodb.write(Delete(items.connection(device("unique", "S1"), ME)))
        owned_devices.unregister(CUSTOMER, "356")
        registration("MIGR00003", "356", "Taken")
        issued_devices.enter("MIGR00003", **CARD_HELD | {"holder_id": None}, card_status="valid")
        assert [names(export(ME)[kind]) for kind in ("connections", "registrations")] == [[], ["asseco#357"]]
        removed = erase(ME)
    assert removed == REMOVED | {"bindings": 2, "registrations": 1, "issued_devices": 1, "users": 1}
    assert item_at(taken)["status"] == "active"


@pytest.mark.usefixtures("ada")
def test_device_registered_during_an_erasure_is_erased_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank's tokens remain valid whatever happens to the user."""
    shown = privacy._nicknames

    def registered_meanwhile(user: Any) -> Any:
        with calls.recording("asseco.register_owned_device"):
            registration(CUSTOMER, "358", "Tablet")
        return shown(user)

    with monkeypatch.context() as first:
        first.setattr(privacy, "_nicknames", registered_meanwhile)
        removed = erasing().json()["removed"]
    assert (removed["registrations"], removed["nicknames"]) == (3, 0)
    assert erase(ME) == {"users": 1}
    assert CUSTOMER not in json.dumps(everything(), default=sorted)
    registration(CUSTOMER, "359", "Tablet")
    assert broken(everything()) == []


@pytest.mark.usefixtures("ada")
def test_erasure_keeps_the_nickname_of_a_registered_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write itself checks whether the registration exists, so a stale read does no harm."""
    with monkeypatch.context() as early:
        early.setattr(privacy, "_registrations", lambda user: iter(()))
        early.setattr(owned_devices, "locked", lambda item: None)
        assert erasing().status == 503
    assert item_at(items.owner(identity.customer_device("356")))["status"] == "active"
    assert broken(everything()) == []
    assert erasing().json()["removed"]["registrations"] == 2


def test_erasure_keeps_a_nickname_taken_by_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.create("acme", name="Acme")
    users.create(ME, "acme", customer=CUSTOMER)
    dynamodb.write(Put(items.nickname_lock(CUSTOMER, "Phone"), {"device": "asseco#356", "binding": "gone"}))

    def another() -> None:
        dynamodb.write(Delete(items.nickname_lock(CUSTOMER, "Phone")))
        registration(CUSTOMER, "358", "Phone")

    before(monkeypatch, "TransactWriteItems", another)
    assert erasing().status == 503
    assert broken(everything()) == []


def test_erasure_deletes_a_nickname_without_a_device() -> None:
    accounts.create("acme", name="Acme")
    users.create(ME, "acme", customer=CUSTOMER)
    place = items.nickname_lock(CUSTOMER, "Phone")
    dynamodb.write(Put(place, {"device": identity.customer_device("356"), "binding": "gone"}))
    assert erasing().json()["removed"]["nicknames"] == 1
    assert dynamodb.get(place) is None


@pytest.mark.usefixtures("ada")
def test_share_ended_by_an_unbind_is_not_exported() -> None:
    forced_unbind.end(device("unique", "S0"), "lost")
    assert names(export(ME)["shares"]) == [device("multi", "S1")]
    assert erasing().json()["removed"]["shares"] == 1


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("expired", [False, True])
def test_erasure_leaves_at_most_the_sharers_entry_of_an_ended_share(expired: bool) -> None:
    """Nothing is left while the share's own item exists, which DynamoDB deletes some days after the end."""
    for uid in (ME, "cleo"):
        users.create(uid, "acme", domain="D")
    quectel.share(OTHER, ME, 1, pk="unique", dk="F4A1B2C3D4E0")
    if expired:
        dynamodb.write(Delete(items.user_device(ME, "unique", "F4A1B2C3D4E0")))
    erase(ME)
    left = [item for item in everything()["BINDINGS"] if ME in json.dumps(item, default=sorted)]
    binding, place = items.owner(device("unique", "S0")), items.user_device(OTHER, "unique", "F4A1B2C3D4E0")
    assert {(item["pk"], item["sk"]) for item in left} == ({binding[1:], place[1:]} if expired else set())
    quectel.share(OTHER, "cleo", LATER, pk="unique", dk="F4A1B2C3D4E0")
    assert ME not in json.dumps(everything(), default=sorted)


@pytest.mark.usefixtures("ada")
def test_user_enabled_during_an_erasure_is_not_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    def let_in(_: Any) -> Any:
        users.set_enabled(ME, True)
        return iter(())

    erasing()
    monkeypatch.setattr(privacy, "_issued", let_in)
    assert erasing().status == 503
    assert dynamodb.get(items.user(ME)) is not None


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("change", [{"email": "new@example.com"}, {"domain": "E"}])
def test_user_changed_during_an_erasure_is_deleted_on_retry(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing()
    before(monkeypatch, "TransactWriteItems", lambda: users.change(ME, **change))
    assert erasing().status == 503
    assert dynamodb.get(items.user(ME)) is not None
    assert len([item for item in stored(Table.DIRECTORY) if item["sk"] == "email"]) == 2
    assert erasing().status == 200
    assert [item for item in stored(Table.DIRECTORY) if item["sk"] == "email"] == []


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("over", [False, True])
def test_erasure_removes_connections_from_other_users_bindings(over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = company_device()
    service_addresses.assign("80:00:00:00:00:00:00:F2", shared)
    made, left = (connection(uid, "80:00:00:00:00:00:00:F2") for uid in (ME, OTHER))
    if over:
        monkeypatch.setattr(clock, "now", lambda: made.expires_at * 1000)
    assert erasing().json()["removed"]["connections"] == 2
    assert [named["id"] for named in item_at(items.owner(shared))["leases"].values()] == [left.id]
    assert dynamodb.get(items.connection(shared, ME)) is None


@pytest.mark.usefixtures("others")
def test_remains_in_bindings_are_not_attributed_to_a_reused_uid() -> None:
    """The lease has expired and was deleted, but its caller was not removed from the account's binding."""
    place = company_device()
    service_addresses.assign(ADDRESS, place)
    left = []
    for _ in range(2):
        users.create(ME, "acme")
        connection(ME)
        dynamodb.write(Delete(items.connection(place, ME)))
        assert privacy.erase(ME)[1]
        assert all(name not in json.dumps(everything(), default=sorted) for name in (ME, secrets.fingerprint(ME)))
        left.append(set(item_at(items.owner(place))["leases"]))
    # Remaining entries do not name a later user with the same uid.
    assert [len(names) for names in left] == [1, 2]


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("lease_from_before", [True, False])
def test_erasure_removes_names_written_before_pseudonyms(lease_from_before: bool) -> None:
    place = company_device()
    service_addresses.assign(ADDRESS, place)
    users.create(ME, "acme")
    dynamodb.write(items.user(ME).update(remove=["pseudonym"]))
    connection(ME)
    if lease_from_before:
        dynamodb.write(items.connection(place, ME).update(remove=["pseudonym"]))
    owner = item_at(items.owner(place))
    assert set(owner["leases"]) == {secrets.fingerprint(ME)}
    assert privacy.erase(ME)[0]["connections"] == 1
    assert dynamodb.get(items.owner(place)) == owner | {"leases": {}}


LATER = 1 << 42
"""A time after all erasures."""


def ban_event(number: int, *holders: str) -> None:
    """Record an event that concerns some holders."""
    persons = frozenset(person for holder in holders if (person := people.pseudonym(holder, LATER)))
    data = {"device": "device", "operator": OPERATOR, "reason": "stolen", "users": sorted(persons)}
    named = (f"{number:032x}", "device.banned", number, "rufus#acme#1", data)
    chain.append(chain.Draft(*named, source="record", people=persons, operator=OPERATOR))


HOLDERS = (identity.user_holder(ME), identity.customer_holder(CUSTOMER))


@pytest.fixture
def named(others: None) -> list[str]:
    """Create Ada with two events, and Ben with one. Return Ada's pseudonyms."""
    users.create(ME, "acme", customer=CUSTOMER)
    ban_event(1, HOLDERS[0])
    ban_event(2, identity.user_holder(OTHER), HOLDERS[1])
    return [person for holder in HOLDERS if (person := people.pseudonym(holder, clock.now()))]


def test_export_contains_the_users_events_without_their_operators(named: list[str]) -> None:
    found = export(ME)
    assert found["pseudonyms"] == [{"kind": "user", "id": named[0]}, {"kind": "customer", "id": named[1]}]
    both = sorted([named[1], str(people.pseudonym(identity.user_holder(OTHER), clock.now()))])
    common = {"type": "device.banned"}
    assert found["events"] == [
        common | {"id": f"{1:032x}", "at": 1, "data": {"device": "device", "reason": "stolen", "users": [named[0]]}},
        common | {"id": f"{2:032x}", "at": 2, "data": {"device": "device", "reason": "stolen", "users": both}},
    ]


def test_erasure_leaves_an_intact_history_that_names_nobody(named: list[str]) -> None:
    events = chain.read("rufus#acme#1")
    assert erase(ME) == {"pseudonyms": 2, "users": 1}
    assert [act["person"] for act in acts_in(everything())] == [named[0]]
    people.clear_cache()
    assert [people.find(holder) for holder in HOLDERS] == [None, None]
    assert (chain.read("rufus#acme#1"), chain.verify(events)) == (events, None)
    for path in (f"users/{ME}", f"customers/{identity.opaque(CUSTOMER)}"):
        assert admin("history", "GET", f"history/{path}").status == 404
    assert ME not in json.dumps(everything(), default=sorted)
    assert erasing().status == 404


def test_pseudonyms_are_deleted_with_the_user_record(named: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(operations: Any) -> None:
        raise Refused(Reason.UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(dynamodb, "transact", fail)
        assert erasing().status == 503
    assert [people.find(holder) for holder in HOLDERS] == named
    assert erase(ME) == {"pseudonyms": 2, "users": 1}


def test_repeated_erasure_deletes_the_pseudonym_of_a_late_event(named: list[str]) -> None:
    erase(ME)
    people.clear_cache()
    ban_event(3, HOLDERS[0])
    assert [event["at"] for event in export(ME)["events"]] == [3]
    assert erase(ME) == {"pseudonyms": 1}
    assert erasing().status == 404
    assert [event["seq"] for event in chain.read("rufus#acme#1")] == [1, 2, 3]


def of_customer(method: str = "GET", customer: str = CUSTOMER, progress: str | None = None) -> Response:
    query = {} if progress is None else {"progress": progress}
    return admin("privacy", method, f"privacy/customers/{identity.opaque(customer)}", query=query)


def erased(progress: str | None = None) -> dict[str, Any]:
    """Erase a person, passing on the progress. Return the receipt."""
    for _ in range(20):
        query = {} if progress is None else {"progress": progress}
        answer = admin("privacy", "DELETE", f"privacy/{ME}", query=query)
        assert answer.status == 200, answer.body
        progress = answer.json()["progress"]
        if answer.json()["complete"]:
            return dict(answer.json()["receipt"])
    raise AssertionError


def verified(receipt: dict[str, Any]) -> Any:
    answer = admin("privacy", "POST", "privacy/receipts", receipt)
    assert answer.status == 200, answer.body
    return answer.json()


def test_customer_without_a_user_is_exported_and_erased(others: None) -> None:
    registration(CUSTOMER, "356", "Phone")
    issued_devices.enter(CUSTOMER, device_id="T2", kind="otp-token")
    issued_devices.enter("MIGR00003", **CARD_HELD, card_status="valid")
    found = of_customer().json()
    assert [len(found[kind]) for kind in ("registrations", "issued_devices", "cards_held")] == [1, 1, 1]
    assert (found["user"], found["bindings"], found["complete"]) == (None, [], True)
    first = of_customer("DELETE").json()
    assert (first["customer"], first["uid"], first["complete"]) == (CUSTOMER, None, False)
    last = of_customer("DELETE", progress=first["progress"]).json()
    assert last["complete"] is True
    removed = {kind: number for kind, number in last["receipt"]["removed"].items() if number}
    assert removed == {"registrations": 1, "issued_devices": 1, "cards_held": 1}
    assert "Lovelace" not in json.dumps(everything(), default=sorted)
    assert [of_customer(method).status for method in ("GET", "DELETE")] == [404, 404]
    assert verified(last["receipt"]) == {"genuine": True, "stored": {}, "created_at": None}


def test_customers_erasure_deletes_the_pseudonym_and_is_one_act(named: list[str]) -> None:
    assert of_customer().json()["pseudonyms"] == [{"kind": "customer", "id": named[1]}]
    assert [len(event["data"]["users"]) for event in of_customer().json()["events"]] == [2]
    with dynamodb.acting(OPERATOR):
        answer = of_customer("DELETE").json()
    assert (answer["removed"]["pseudonyms"], answer["complete"]) == (1, True)
    people.clear_cache()
    assert [people.find(holder) for holder in HOLDERS] == [named[0], None]
    (act,) = [item for item in stored(Table.BINDINGS) if item["pk"] == "act#erased"]
    assert (act["kind"], act["person"], act["by"]) == ("customer", named[1], OPERATOR)


def test_receipt_covers_all_requests_and_names_no_pseudonym(ada: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    ban_event(1, HOLDERS[0])
    person = people.find(HOLDERS[0])
    monkeypatch.setattr(privacy, "ERASE_LIMIT", 3)
    first = erasing().json()
    assert (sum(first["removed"].values()), first["complete"]) == (3, False)
    assert item_at(items.user(ME))["enabled"] is False
    receipt = erased(progress=first["progress"])
    own = {"connections": 1, "registrations": 2, "issued_devices": 1, "cards_held": 1, "users": 1}
    assert {kind: number for kind, number in receipt["removed"].items() if number} == REMOVED | own | {"pseudonyms": 1}
    assert (receipt["uid"], receipt["customer"], receipt["operator"]) == (ME, CUSTOMER, OPERATOR)
    assert receipt["began_at"] <= receipt["erased_at"] <= clock.now()
    assert str(person) not in json.dumps(receipt)
    assert verified(receipt) == {"genuine": True, "stored": {}, "created_at": None}
    assert bound_items(everything()) == bound_items(ada)
    assert ME not in json.dumps(everything(), default=sorted)


@pytest.mark.parametrize(
    "change",
    [
        *({"uid": "ben"}, {"customer": "MIGR00003"}, {"operator": "someone"}, {"removed": {}}, {"erased_at": 1}),
        *({"id": "0" * 32}, {"signature": "0" * 64}, {"signature": "é"}),
    ],
)
def test_changed_receipt_is_not_genuine_and_shows_nothing(others: None, change: dict[str, Any]) -> None:
    users.create(ME, "acme", customer=CUSTOMER)
    receipt = erased()
    assert verified(receipt)["genuine"] is True
    assert verified(receipt | change) == {"genuine": False, "stored": {}, "created_at": None}


def test_receipt_shows_what_is_stored_again(others: None) -> None:
    users.create(ME, "acme")
    receipt = erased()
    users.create(ME, "acme")
    families.create("F", ME)
    found = verified(receipt)
    assert found["created_at"] == item_at(items.user(ME))["created_at"]
    assert {kind: number for kind, number in found["stored"].items() if number} == {"users": 1, "families": 1}


def test_erasure_whose_last_response_was_lost_has_a_receipt(others: None) -> None:
    users.create(ME, "acme")
    families.create("F", ME)
    progress = erasing().json()["progress"]
    erase(ME)
    answer = admin("privacy", "DELETE", f"privacy/{ME}", query={"progress": progress}).json()
    assert (answer["complete"], answer["receipt"]["removed"]["families"]) == (True, 1)
    assert verified(answer["receipt"])["genuine"] is True


def test_progress_of_another_person_is_refused(others: None) -> None:
    for uid in (ME, "cleo"):
        users.create(uid, "acme")
        families.create(uid, uid)
    progress = erasing().json()["progress"]
    before = everything()
    answer = admin("privacy", "DELETE", "privacy/cleo", query={"progress": progress})
    assert (answer.status, answer.json()["errors"][0]["at"]) == (422, "progress")
    assert of_customer("DELETE", progress=progress).status == 422
    assert everything() == before


def test_receipt_is_not_a_progress(others: None) -> None:
    users.create(ME, "acme")
    families.create("F", ME)
    receipt = erased()
    forged = base64.urlsafe_b64encode(json.dumps(receipt).encode()).decode()
    users.create(ME, "acme")
    assert admin("privacy", "DELETE", f"privacy/{ME}", query={"progress": forged}).status == 422


def test_export_tells_origin_retention_and_recipients(ada: Tables) -> None:
    webhooks.create("https://8.8.8.8/private/path?token=1", ["device.bound"])
    found = export(ME)
    about = found["about"]
    assert about["categories"].keys() == found.keys() - {"complete", "about"}
    assert about["recipients"] == [{"host": "8.8.8.8", "types": ["device.bound"]}]
    assert about["categories"]["events"]["stored"] == f"{about['history_days']} days"
    assert (about["history_days"], about["log_days"], about["backup_days"]) == (400, 30, 35)
    assert abs(about["exported_at"] - clock.now()) < 60_000
