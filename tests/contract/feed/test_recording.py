"""The recorder: each change is recorded once, in order, whatever fails; events of the directory and of persons."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.aws.errors import ConnectionFailed
from bindery.core import clock
from bindery.core.errors import Refused
from bindery.directory import accounts, api_keys, users
from bindery.feed import bus, chain, people, recording
from bindery.registry import identity, items
from bindery.rufus import company_devices
from bindery.security import secrets
from tests import aws_calls, rufus
from tests.concurrency.races import before
from tests.feed import Feed, Record, chains, handle, person, user
from tests.http_api import OPERATOR, admin
from tests.openid import CUSTOMER
from tests.quectel import DEVICE, ME, World, as_user, succeeded
from tests.records import TSL
from tests.tables import item_at, stored

DAYS = 400


def sequence(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def bindings(feed: Feed, number: int) -> list[Record]:
    """Return the records of the bindings of new company devices. Only these are in the streams."""
    for each in range(number):
        rufus.bound(f"S{each}")
    feed.records = [record for record in feed.records if "BindingsTable" in record["eventSourceARN"]]
    return feed.pending()


@pytest.fixture
def changes(feed: Feed) -> list[Record]:
    """Return the records of the bindings of four company devices."""
    return bindings(feed, 4)


def types_by_device() -> list[list[str]]:
    return [[event["type"] for event in events] for events in chains().values()]


BOUND = ["device.registered", "device.bound"]


def test_event_is_stored_with_its_marker_and_mentions(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    succeeded(as_user(ME))
    feed.record()
    first = chains()[DEVICE][-1]
    admin("devices", "POST", f"devices/{identity.opaque(DEVICE)}/unbind", {"reason": "lost"})
    (change,) = [
        record for record in feed.records[feed.read :] if record["dynamodb"]["Keys"].get("sk") == {"S": "owner"}
    ]
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    earlier = stored(Table.HISTORY)
    (published,) = feed.record()
    at = change["dynamodb"]["ApproximateCreationDateTime"] * 1000
    made = {
        "id": secrets.derive("DIRECTORY_SECRET", "event", "device.unbound", change["eventID"]).hex()[:32],
        "type": "device.unbound",
        "at": at,
        "seq": 3,
        "previous": first["hash"],
        "data": {
            "device": identity.opaque(DEVICE),
            "api": "quectel",
            "binding": first["data"]["binding"],
            "holder": user(ME),
            "cause": "operator",
            "operator": OPERATOR,
            "reason": "lost",
        },
    }
    hashed = [made[name] for name in ("id", "type", "at", "seq", "previous", "data")]
    made["hash"] = hashlib.sha256(json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert published == made | {"chain": identity.opaque(DEVICE)}
    shard, operators = (int(hashlib.sha256(DEVICE.encode()).hexdigest()[:8], 16) % shards for shards in (16, 8))
    reference = {"chain": DEVICE, "seq": 3, "expires_at": now // 1000 + DAYS * 86400}
    marked = reference | {"pk": f"event#{made['id']}", "sk": "event", "source": change["eventID"]}
    mention = {"sk": f"{at:013}#{made['id']}"}
    expected = [
        reference | mention | {"pk": f"about#operator#{OPERATOR}#{operators}"},
        reference | mention | {"pk": f"about#person#{user(ME)['id']}"},
        made
        | reference
        | {"pk": f"chain#{DEVICE}", "sk": "000000000003", "time": f"{now:013}#{made['id']}"}
        | {"collection": f"log#{clock.iso(now)[:10]}#{shard:02}"},
        marked,
    ]
    # The lists of devices are tests.listings'.
    own = ("about#", "chain#", "event#")
    assert [item for item in stored(Table.HISTORY) if item not in earlier and item["pk"].startswith(own)] == expected
    (request,) = feed.bus.requests[-1:]
    assert request == {
        "Entries": [
            {
                "Source": "bindery",
                "DetailType": "device.unbound",
                "Detail": json.dumps(published),
                "EventBusName": "EventBus",
                "Time": at / 1000,
            }
        ]
    }


def test_poison_record_is_set_aside_and_delays_no_other(feed: Feed) -> None:
    changes = bindings(feed, 10)
    poison = changes[4]
    image = poison["dynamodb"]["NewImage"].pop("binding")
    assert handle(changes) == []
    assert types_by_device() == [BOUND] * 9
    (item,) = [item for item in stored(Table.HISTORY) if item["pk"] == "unrecorded"]
    at = poison["dynamodb"]["ApproximateCreationDateTime"] * 1000
    assert (item["sk"], item["error"]) == (f"{at:013}#{poison['eventID']}", "KeyError")
    assert json.loads(item["record"]) == poison
    assert item["expires_at"] > clock.seconds()
    assert handle(changes) == []
    poison["dynamodb"]["NewImage"]["binding"] = image
    assert [event["type"] for event in recording.record_one(poison)] == BOUND
    assert types_by_device() == [BOUND] * 10


def test_large_poison_record_is_set_aside_without_images(
    feed: Feed, changes: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = changes[0]
    image = poison["dynamodb"].pop("NewImage")
    poison["dynamodb"]["NewImage"] = {"holder": image["holder"]}
    monkeypatch.setattr(recording, "_LONGEST", 10)
    handle([poison])
    (item,) = [item for item in stored(Table.HISTORY) if item["pk"] == "unrecorded"]
    assert json.loads(item["record"])["dynamodb"] == poison["dynamodb"] | {"OldImage": {}, "NewImage": {}}
    poison["dynamodb"]["NewImage"] = image


FAILURES = {
    "table": aws_calls.error("InternalServerError", 500),
    "key range": aws_calls.error(
        "ThrottlingException", throttlingReasons=[{"reason": "TableWriteKeyRangeThroughputExceeded"}]
    ),
    "connection": ConnectionFailed("timed out"),
}


@pytest.mark.parametrize(
    ("operation", "failure"),
    [("Query", "connection"), ("TransactWriteItems", "key range"), ("TransactWriteItems", "table")],
)
def test_temporary_failure_repeats_from_its_record(
    feed: Feed, changes: list[Record], failure: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [3]
    real = aws_calls.real(operation)

    def call(**request: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise FAILURES[failure]
        return real(**request)

    with monkeypatch.context() as patch:
        aws_calls.replace(patch, operation, call)
        assert handle(changes) == [sequence(changes[2])]
    assert types_by_device() == [BOUND] * 2
    assert len(feed.bus.published) == 4
    assert handle(changes[2:]) == []
    assert types_by_device() == [BOUND] * 4
    assert len(feed.bus.published) == 8


def test_record_that_cannot_be_set_aside_is_repeated(
    feed: Feed, changes: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = changes[1]["dynamodb"]["NewImage"].pop("binding")
    with monkeypatch.context() as patch:

        def refuse(**request: Any) -> Any:
            if request["Item"]["pk"] == {"S": "unrecorded"}:
                raise aws_calls.error("InternalServerError", 500)
            return {}

        aws_calls.replace(patch, "PutItem", refuse)
        assert handle(changes) == [sequence(changes[1])]
    changes[1]["dynamodb"]["NewImage"]["binding"] = image


def test_bus_repeats_only_what_it_did_not_accept(feed: Feed, changes: list[Record]) -> None:
    feed.bus.answers = [[None, "ThrottlingException", None, "InternalFailure", None, None], [None, "InternalFailure"]]
    assert handle(changes[:3]) == []
    sizes = [len(request["Entries"]) for request in feed.bus.requests]
    assert sizes == [6, 2, 1]
    assert feed.bus.requests[1]["Entries"] == [feed.bus.requests[0]["Entries"][at] for at in (1, 3)]
    handle(changes)


def test_ten_events_are_published_at_once(feed: Feed) -> None:
    handle(bindings(feed, 6))
    assert [len(request["Entries"]) for request in feed.bus.requests] == [10, 2]


def test_unreachable_bus_repeats_from_the_first_record_with_events(feed: Feed, changes: list[Record]) -> None:
    rufus.bound("S0", firmware="2")
    (*_, ignored) = feed.pending()
    unavailable = [["InternalFailure"] * 4] * bus.ATTEMPTS + [["InternalFailure"] * 2] * bus.ATTEMPTS
    for answers in ([ConnectionFailed("timed out")] * 2, unavailable):
        feed.bus.answers = list(answers)
        assert handle([ignored, *changes[:2]]) == [sequence(changes[0])]
        assert feed.bus.answers == []
        assert feed.bus.published == []
    handle(changes)
    assert len(feed.bus.published) == 8


def test_event_that_the_bus_refuses_delays_no_other(feed: Feed, changes: list[Record]) -> None:
    refused = aws_calls.error("ValidationException")
    feed.bus.answers = [refused, [None] * 2, refused, [None] * 2]
    assert handle(changes[:3]) == []
    assert types_by_device() == [BOUND] * 3
    assert len(feed.bus.published) == 4
    (item,) = [item for item in stored(Table.HISTORY) if item["pk"] == "unrecorded"]
    assert (json.loads(item["record"]), item["error"]) == (changes[1], "ValidationException")
    recording.record_one(changes[1])
    assert len(feed.bus.published) == 6
    handle(changes[3:])


def test_batch_logs_one_line(feed: Feed, changes: list[Record], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    caplog.clear()
    handle(changes)
    (line,) = caplog.records
    counts = {"records": 4, "events": 8, "set_aside": 0, "complete": True}
    assert {name: getattr(line, name) for name in ("msg", *counts)} == {"msg": "feed.record", **counts}


def test_device_without_a_record_has_no_first_event(feed: Feed, changes: list[Record]) -> None:
    device = changes[0]["dynamodb"]["Keys"]["pk"]["S"]
    record = item_at(items.device(device))
    dynamodb.write(items.device(device).delete())
    feed.pending()
    handle(changes[:1])
    assert types_by_device() == [["device.bound"]]
    dynamodb.write(items.key_of(Table.DEVICES, record).put(record))
    # Otherwise the check in the end would record its registration.
    feed.records[:] = [record for record in feed.records if "sk" in record["dynamodb"]["Keys"]]


@pytest.fixture
def events(feed: Feed) -> list[items.Event]:
    """Return the events of a device that was bound and unbound twice."""
    rufus.install()
    for _ in range(2):
        rufus.unbind(rufus.bound())
    feed.record()
    return chains()[identity.company_device("acme", "Model X1", "DEVICE-123")]


def test_intact_chain_is_verified_from_any_event(events: list[items.Event]) -> None:
    assert len(events) == 5
    for start in range(len(events) + 1):
        assert chain.verify(events[start:]) is None


def signed(event: items.Event, **members: Any) -> items.Event:
    changed: items.Event = {**event, **members}  # type: ignore[typeddict-item]
    return changed | {"hash": chain.digest(changed)}


TAMPERED: dict[str, tuple[Callable[[list[items.Event]], list[items.Event]], int]] = {
    "changed": (lambda events: [*events[:2], events[2] | {"at": 1}, *events[3:]], 3),
    "changed with its hash": (lambda events: [*events[:2], signed(events[2], at=1), *events[3:]], 4),
    "removed": (lambda events: [*events[:2], *events[3:]], 4),
    "removed with its hash": (lambda events: [*events[:2], signed(events[3], previous=events[1]["hash"])], 4),
    "first removed": (lambda events: [signed(events[1], seq=1), *events[2:]], 1),
    "inserted": (lambda events: [*events[:2], events[1], *events[2:]], 2),
    "exchanged": (lambda events: [*events[:2], events[3], events[2], *events[4:]], 4),
}


def test_chain_that_was_tampered_with_is_not_verified(events: list[items.Event]) -> None:
    found = {how: chain.verify(tamper(events)) for how, (tamper, _) in TAMPERED.items()}
    assert {how: problem and problem.seq for how, problem in found.items()} == {
        how: seq for how, (_, seq) in TAMPERED.items()
    }


def test_chain_whose_events_have_expired_begins_again(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    rufus.install()
    deviceid = rufus.bound()
    feed.record()
    # Time to live has removed the events and the counts of their day, but not yet their markers.
    for item in stored(Table.HISTORY):
        if item["pk"].startswith("chain#") or item["sk"].startswith("day#"):
            dynamodb.write(items.key_of(Table.HISTORY, item).delete())
    now = clock.now()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: now + DAYS * 86_400_000 + 60_000)
        rufus.unbind(deviceid)
        assert feed.types() == ["device.registered", "device.unbound"]
    feed.records = [record for record in feed.records if record["eventName"] == "REMOVE"]
    feed.bus.published = feed.bus.published[-2:]


def test_append_gives_up_after_repeated_conflicts(
    feed: Feed, changes: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "ATTEMPTS", 1)
    before(monkeypatch, "TransactWriteItems", lambda: handle(changes[:1]))
    draft = chain.Draft("f" * 32, "device.online", 1, changes[0]["dynamodb"]["Keys"]["pk"]["S"], {}, "other")
    with pytest.raises(Refused, match="conflict"):
        chain.append(draft)
    monkeypatch.setattr(chain, "ATTEMPTS", 2)
    assert item_at(items.recorded(chains()[draft.chain][1]["id"]))["seq"] == 2


ACCOUNT = {"account": "acme", "name": "Acme"}


def operate(resource: str, method: str, path: str, body: Any = None) -> Any:
    answer = admin(resource, method, path, body)
    assert answer.status in (200, 201)
    return answer.json()


def changed(kind: str, subject: Any, *members: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return f"operator.{kind}", {"subject": subject, "operator": OPERATOR, "members": sorted(members)} | more


def test_account_and_its_keys(feed: Feed) -> None:
    account = {"kind": "account", "id": "acme"}
    operate("accounts", "POST", "accounts", ACCOUNT)
    assert feed.events() == [changed("created", account, "account", "created_at", "enabled", "name")]
    body = {"account": "acme", "kind": "rufus", "grant": "READ", "alias": "reader"}
    issued = api_keys.id_of(operate("keys", "POST", "keys", body)["key"])
    key = {"kind": "api_key", "id": issued}
    members = ("account", "alias", "created_at", "grant", "kind", "unbind")
    assert feed.events() == [changed("created", key, *members)]
    # The keys of an account repeat its state, and the account lists its keys.
    operate("accounts", "POST", "accounts/acme/disable")
    assert feed.events() == [changed("changed", account, "enabled", "suspensions")]
    operate("keys", "POST", f"keys/{issued}/revoke")
    assert feed.events() == [changed("changed", key, "revoked_at")]


def test_users_own_events_name_them_by_pseudonym(feed: Feed) -> None:
    accounts.create("acme", name="Acme")
    operate("users", "POST", "users", {"uid": "ann", "account": "acme", "email": "ann@example.com"})
    operate("users", "PATCH", "users/ann", {"email": "ann@example.org"})
    (_, created), (_, second) = feed.events()
    assert created["subject"] == user("ann")
    assert {"email", "uid", "account"} <= set(created["members"])
    assert second == changed("changed", user("ann"), "email", "only_in_domain")[1]
    ((name, events),) = chains().items()
    assert name == f"person#{user('ann')['id']}"
    assert [event["seq"] for event in events] == [1, 2]


def test_products_settings_families_and_domains(feed: Feed) -> None:
    product = {"kind": "product", "id": "p11"}
    operate("domains", "POST", "domains", {"domain": "E.DM.1"})
    accounts.create("smart", name="Smart")
    users.create("ann", "smart", domain="E.DM.1")
    operate("products", "POST", "products", {"product_key": "p11", "name": "Lock", "module_type": "BC26"})
    operate("products", "PUT", "products/p11/tsl", TSL | {"profile": {"productKey": "p11"}})
    operate("products", "PUT", "products/p11/barred/ann")
    operate("products", "DELETE", "products/p11/barred/ann")
    operate("families", "POST", "families", {"fid": "F1", "owner": "ann"})
    operate("settings", "PUT", "settings/device_management", {"value": 0})
    events = feed.events()
    assert [(kind, data["subject"]) for kind, data in events] == [
        ("operator.created", {"kind": "user_domain", "id": "E.DM.1"}),
        ("operator.created", product),
        ("operator.created", {"kind": "tsl", "id": "p11"}),
        ("operator.created", {"kind": "bar", "id": "p11"}),
        ("operator.deleted", {"kind": "bar", "id": "p11"}),
        ("operator.created", {"kind": "family", "id": "F1"}),
        ("operator.created", {"kind": "setting", "id": "device_management"}),
    ]
    assert [data.get("user") for _, data in events if data["subject"]["kind"] == "bar"] == [user("ann")] * 2


def test_change_without_an_operator_is_no_event(feed: Feed) -> None:
    operate("accounts", "POST", "accounts", ACCOUNT)
    feed.record()
    accounts.spread("acme", 4)
    assert feed.pending() != []
    feed.read -= 1
    assert feed.events() == []


def test_issued_device_is_named_by_a_hash(feed: Feed) -> None:
    row = {"customer": CUSTOMER, "device_id": "CARD-1", "kind": "payment-card", "card_status": "valid"}
    operate("issued_devices", "POST", "issued-devices/import", {"rows": [row]})
    ((kind, data),) = feed.events()
    assert (kind, data["user"]) == ("operator.created", person(identity.customer_holder(CUSTOMER)))
    assert data["subject"]["kind"] == "issued_device"
    assert "CARD-1" not in str(data)


def erase(holder: str) -> None:
    dynamodb.write(people.erasure(holder))
    people.clear_cache()


def test_erased_person_is_named_by_no_event(feed: Feed) -> None:
    accounts.create("acme", name="Acme")
    operate("users", "POST", "users", {"uid": "ann", "account": "acme"})
    feed.record()
    holder = identity.user_holder("ann")
    operate("users", "POST", "users/ann/disable")
    erase(holder)
    feed.read = 0
    assert feed.types() == ["operator.created", "operator.changed"]
    assert people.find(holder) is None, "a change before the erasure creates no pseudonym"
    both = chains().values()
    assert [chain.verify(events) for events in both] == [None, None]
    assert len({event["data"]["subject"]["id"] for events in both for event in events}) == 2


def test_later_person_with_the_same_id_has_another_pseudonym(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.create("acme", name="Acme")
    operate("users", "POST", "users", {"uid": "ann", "account": "acme"})
    feed.record()
    holder, earlier = identity.user_holder("ann"), user("ann")
    erase(holder)
    later = clock.now() + 2000
    monkeypatch.setattr(clock, "now", lambda: later)
    operate("users", "POST", "users/ann/disable")
    feed.record()
    assert user("ann") != earlier
    assert "expires_at" not in item_at(items.person(holder))


def test_pseudonym_is_cached_for_a_minute(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, now = "user#ann", clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    known = people.pseudonym(holder, clock.now())
    dynamodb.write(items.person(holder).delete())
    assert people.find(holder) == known
    now += people.CACHE_SECONDS * 1000
    assert people.find(holder) is None


def test_pseudonym_that_another_process_creates_first_is_used(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[str] = []

    def create() -> None:
        created.append(people.pseudonym("user#ann", clock.now()))
        people.clear_cache()

    before(monkeypatch, "UpdateItem", create)
    assert people.pseudonym("user#ann", clock.now()) == created[0]


def test_privacy_erasure_is_an_event(feed: Feed) -> None:
    accounts.create("acme", name="Acme")
    operate("users", "POST", "users", {"uid": "ann", "account": "acme"})
    while not operate("privacy", "DELETE", "privacy/ann")["complete"]:
        pass
    kind, data = feed.events()[-1]
    assert (kind, data["operator"], data["members"]) == ("operator.erased", OPERATOR, [])


def test_records_of_the_doctor_are_no_events(feed: Feed) -> None:
    name = f"doctor-{'0' * 32}-rufus"
    for account in (name, "doctor-smith"):
        operate("accounts", "POST", "accounts", {"account": account, "name": account})
        operate("keys", "POST", "keys", {"account": account, "kind": "rufus", "grant": "READ", "alias": "app"})
    created = [event["data"]["subject"]["kind"] for event in feed.record() if event["type"] == "operator.created"]
    assert created == ["account", "api_key"]
    assert "doctor-smith" in chains()["account#doctor-smith"][0]["data"]["subject"]["id"]
    company_devices.bind(name, "M", "S", alias=None, firmware=None, kind=None)
    assert feed.record() == []
