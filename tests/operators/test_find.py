"""Find out what a text is: each kind of record, by everything that names it."""

from typing import Any

import pytest

from bindery.connectivity import device_credentials, service_addresses
from bindery.core import clock
from bindery.directory import accounts, api_keys, products, users
from bindery.directory.api_keys import Grant, Kind
from bindery.feed import chain, webhooks
from bindery.feed.chain import Draft
from bindery.operators import find, forced_unbind
from bindery.quectel import families, user_domains
from bindery.registry import devices, identity
from bindery.security import secrets
from bindery.vodlix import video_devices
from tests import calls, moto_registry
from tests.http_api import admin
from tests.operators.conftest import At
from tests.records import ADDRESS, company_device, connection, registration
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("registry")

NOON = 1_795_176_000_000
KEY = "ror-" + "0" * 20
MAC = "A1B2C3D4E5F6"
IMEI = "990000862471854"
EVENT = "0123456789abcdef" * 2
EMAIL, PHONE = "Ada@example.com", "+44 7700 900123"
LOCK = identity.manufactured_device("p1", "S1")


@pytest.fixture(autouse=True)
def _world(registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)
    moto_registry.prepare("find", installation)


def installation() -> None:
    """Create a record of each kind."""
    accounts.create("acme", name="Acme")
    user_domains.create("home")
    users.create("ada", "acme", domain="home", email=EMAIL, phone=identity.phone(PHONE))
    products.create("p1", name="Lock", module_type="M")
    families.create("F1", "ada", members=[], rooms=[])
    devices.manufacture("p1", "S1", device_key="ABCD1234")
    service_addresses.assign(ADDRESS, company_device(serial="S1"))
    video_devices.add(MAC, device_os="iOS", device_version="1", device_type="Mobile", app_version="1", app_name="App")
    registration("c1", IMEI)
    api_keys.issue("acme", Kind.RUFUS, Grant.READ, alias="app", chosen=KEY)
    data = {"device": identity.opaque(LOCK), "api": "quectel"}
    chain.append(Draft(EVENT, "device.registered", NOON, LOCK, data, "record-1"))


def camera() -> str:
    return identity.company_device("acme", "M", "S1")


def ask(text: str, **scope: str) -> Any:
    answer = admin("find", "GET", "find", query={"text": text, **scope})
    assert answer.status == 200, answer.body
    return answer.json()


def device(key: str, named: str, **facts: str) -> dict[str, Any]:
    return {
        "kind": "device",
        "named": named,
        "id": identity.opaque(key),
        "state": "active",
        "facts": {"api": key.partition("#")[0], **facts},
    }


def of_company(named: str) -> dict[str, Any]:
    return device(camera(), named, account="acme", serial="S1")


def of_product(named: str) -> dict[str, Any]:
    return device(LOCK, named, product_key="p1", serial="S1")


def record(kind: str, named: str, identifier: str, state: str, **facts: str | int | None) -> dict[str, Any]:
    return {"kind": kind, "named": named, "id": identifier, "state": state, "facts": facts}


ADA = ("ada", "enabled")
OF_ADA = {"account": "acme", "domain": "home"}
OF_KEY = {"api": "rufus", "account": "acme", "alias": "app", "grant": "READ", "last_used": None}


@pytest.mark.parametrize("spelling", [MAC, "a1:b2:c3:d4:e5:f6", "A1-B2-C3-D4-E5-F6", "a1b2.c3d4.e5f6"])
def test_mac_address_is_found_in_any_spelling(spelling: str) -> None:
    assert ask(spelling)["matches"] == [device(identity.video_device(MAC), "MAC address", mac=MAC)]


@pytest.mark.parametrize("spelling", [IMEI, "99-000086-247185-4"])
def test_imei_is_found_in_any_spelling(spelling: str) -> None:
    assert ask(spelling)["matches"] == [device(identity.customer_device(IMEI), "external identifier", imei=IMEI)]


def test_serial_number_is_found_in_all_apis_and_only_whole() -> None:
    matches = ask(" S1 ")["matches"]
    found = [of_product("serial number"), of_company("serial number")]
    assert sorted(matches, key=lambda match: match["facts"]["api"]) == found
    tried = ["MAC address", "external identifier", "user id", "account", "product", "user domain", "family"]
    assert ask("S") == {"matches": [], "tried": [*tried, "serial number"], "more": False}


def test_more_matches_than_are_shown_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "LIMIT", 3)
    for number in range(3):
        devices.manufacture(f"q{number}", "S2")
    assert (len(ask("S2")["matches"]), ask("S2")["more"]) == (3, False)
    devices.manufacture("q3", "S2")
    assert (len(ask("S2")["matches"]), ask("S2")["more"]) == (3, True)
    for number in range(3):
        accounts.create(f"a{number}", name="A")
        users.create(f"u{number}", f"a{number}", email=EMAIL)
    assert (len(ask(EMAIL)["matches"]), ask(EMAIL)["more"]) == (3, True)


def test_device_is_found_by_its_id_and_service_address() -> None:
    assert ask(identity.opaque(LOCK))["matches"] == [of_product("device id")]
    assert ask(ADDRESS.lower())["matches"] == [of_company("service address")]


def test_states_of_a_device_are_shown() -> None:
    devices.ban(LOCK, "stolen")
    devices.set_enabled(LOCK, False)
    devices.deactivate(LOCK)
    assert ask(identity.opaque(LOCK))["matches"] == [
        of_product("device id") | {"state": "banned: stolen, disabled, inactive"}
    ]


def test_device_is_found_by_the_hash_of_its_credential() -> None:
    issued = device_credentials.issue(camera())
    assert ask(secrets.fingerprint(issued))["matches"] == [of_company("device key")]
    deviceid = secrets.fingerprint(secrets.device_id("acme", "M", "S1"))
    assert ask(deviceid)["matches"] == [of_company("deviceid or authKey")]
    forced_unbind.end(camera(), "sold")
    assert ask(deviceid)["matches"] == []
    assert ask(deviceid, account="acme")["matches"] == [of_company("deviceid")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada", record("user", "user id", *ADA, **OF_ADA)),
        ("acme", record("account", "account", "acme", "enabled", name="Acme")),
        ("p1", record("product", "product", "p1", "exists", name="Lock", mode="unique")),
        ("home", record("user domain", "user domain", "home", "enabled", binders="everyone")),
        ("F1", record("family", "family", "F1", "exists", owner="ada")),
        (api_keys.id_of(KEY), record("key", "key id", api_keys.id_of(KEY), "valid", **OF_KEY)),
        (EVENT, record("event", "event", EVENT, "device.registered", at=NOON, chain=identity.opaque(LOCK))),
    ],
)
def test_record_is_found_by_its_id(text: str, expected: dict[str, Any]) -> None:
    assert ask(text)["matches"] == [expected]


def test_webhook_is_found_by_its_id() -> None:
    webhook, _ = webhooks.create("https://8.8.8.8/", [])
    url = {"url": "https://8.8.8.8/"}
    assert ask(webhook)["matches"] == [record("webhook", "webhook", webhook, "enabled", **url)]
    webhooks.disable(webhook, "maintenance")
    assert ask(webhook)["matches"] == [record("webhook", "webhook", webhook, "disabled: maintenance", **url)]


def test_connection_and_event_are_found_until_they_expire(at: At) -> None:
    made = connection("ada")
    facts = {"device": identity.opaque(camera()), "caller": "ada", "expires_at": made.expires_at * 1000}
    assert ask(made.label)["matches"] == [record("connection", "label", made.id, "not expired", **facts)]
    at(made.expires_at * 1000)
    assert ask(made.label)["matches"] == []
    at(NOON + 400 * 86_400_000)
    assert ask(EVENT)["matches"] == []


@pytest.mark.parametrize(
    ("text", "scope", "named"),
    [
        (EMAIL.upper(), {"account": "acme"}, "email address"),
        (EMAIL, {"domain": "home"}, "email address"),
        (PHONE, {"domain": "home"}, "phone number"),
    ],
)
def test_login_name_is_found_in_its_scope(text: str, scope: dict[str, str], named: str) -> None:
    assert ask(text, **scope)["matches"] == [record("user", named, *ADA, **OF_ADA)]
    assert ask(text, **dict.fromkeys(scope, "other"))["matches"] == []


def test_email_address_is_found_in_all_accounts() -> None:
    accounts.create("other", name="Other")
    users.create("eve", "other", email=EMAIL.upper())
    user_domains.create("app")
    users.create("ada-app", "acme", domain="app", email=EMAIL)
    found = ask(EMAIL.lower())
    assert {(match["id"], match["named"], match["facts"]["account"]) for match in found["matches"]} == {
        ("ada", "email address", "acme"),
        ("ada-app", "email address", "acme"),
        ("eve", "email address", "other"),
    }
    assert "email address" in found["tried"]
    assert ask(PHONE)["matches"] == []


def test_stale_index_of_email_addresses_finds_nobody() -> None:
    with moto_registry.late_indexes():
        users.change("ada", email="lovelace@example.com")
        assert ask(EMAIL)["matches"] == []


def test_key_states_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = api_keys.id_of(KEY)
    accounts.set_enabled("acme", False)
    assert ask(hashed)["matches"][0]["state"] == "account disabled"
    accounts.set_enabled("acme", True)
    api_keys.rotate(hashed, 60)
    monkeypatch.setattr(clock, "now", lambda: NOON + 60_000)
    assert ask(hashed)["matches"][0]["state"] == "expired"
    api_keys.revoke(hashed)
    assert ask(hashed)["matches"][0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("text", "scope", "trips"),
    [
        ("S1", {}, ["BatchGetItem", "Query", "BatchGetItem"]),
        ("unknown", {}, ["BatchGetItem", "Query", "Query"]),
        (EMAIL, {}, ["BatchGetItem", "Query", "Query", "BatchGetItem"]),
        (EMAIL, {"account": "acme", "domain": "home"}, ["BatchGetItem", "Query", "BatchGetItem"]),
        (EVENT, {}, ["BatchGetItem", "Query", "BatchGetItem"]),
        ("proxy" + "a" * 16, {}, ["BatchGetItem", "Query", "Query"]),
        (secrets.fingerprint("key"), {}, ["BatchGetItem", "Query", "Query"]),
    ],
)
def test_search_needs_few_round_trips_and_changes_nothing(text: str, scope: dict[str, str], trips: list[str]) -> None:
    before = everything()
    with calls.recording("admin.find") as invocation:
        find.find(text, **scope)
    assert invocation.dynamodb == trips
    assert everything() == before


def test_search_never_needs_more_than_four_round_trips() -> None:
    hashed = secrets.fingerprint(device_credentials.issue(camera()))
    with calls.recording("admin.find") as invocation:
        assert len(find.find(hashed).matches) == 1
    assert invocation.dynamodb == ["BatchGetItem", "Query", "Query", "BatchGetItem"]
