"""Events of records that operators change, and of persons."""

from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.core import clock
from bindery.directory import accounts, api_keys, users
from bindery.feed import chain, people
from bindery.registry import identity, items
from bindery.rufus import company_devices
from tests.concurrency.races import before
from tests.feed import Feed, chains, person, user
from tests.http_api import OPERATOR, admin
from tests.openid import CUSTOMER
from tests.records import TSL
from tests.tables import item_at

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
