"""Accounts, domains, families, products and users: created once, shown, changed and listed."""

import json
import re
from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import accounts, tsl, users
from bindery.http import fields
from bindery.quectel import domain_secrets, families, user_domains
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests.concurrency.races import before
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE, ME, OTHER, PK, World, as_user, fill, refused, succeeded
from tests.records import TSL
from tests.tables import everything, item_at, stored
from tools import template

LOCK: dict[str, Any] = {"name": "Smart lock", "module_type": "BC26"}
HOME: dict[str, Any] = {"fid": "F1", "owner": "ada", "members": ["ben"], "rooms": ["kitchen", "hall"]}
USER: dict[str, Any] = {
    "uid": "eve",
    "account": "acme",
    "domain": "d1",
    "customer": "MIGR00002",
    "email": "e@example.com",
}


@pytest.fixture(autouse=True)
def _installation(registry: None) -> None:
    """Create two accounts, users of the first, and user domains."""
    for name in ("acme", "other"):
        accounts.create(name, name="A company")
    for uid in ("ada", "ben", "cleo"):
        users.create(uid, "acme")


def domains() -> None:
    for name in ("d1", "d2"):
        user_domains.create(name)


CREATED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "accounts": (
        {"account": "new", "name": " New Ltd "},
        {"name": "New Ltd", "enabled": True, "per_second": None, "burst": None},
    ),
    "domains": ({"domain": "d3"}, {"enabled": True, "binders": "everyone"}),
    "families": (HOME, {"common_count": 0, "common_devices": []}),
    "products": (
        {"product_key": "p1"} | LOCK,
        {"mode": 2, "domains": None, "data_center": None, "capabilities": 1, "claim_codes": False, "claim_version": 1},
    ),
    "users": (
        USER | {"role": "administrator", "home_mode": True, "email": "Eve@Example.COM", "phone": "+447700900123"},
        {"enabled": True},
    ),
}
"""By resource: the fields of a creation, and the others that are shown."""


@pytest.mark.parametrize("resource", CREATED)
def test_record_is_created_once_and_shown(resource: str) -> None:
    domains()
    given, others = CREATED[resource]
    answer = admin(resource, "POST", resource, given)
    made = answer.json()
    # The secret of a domain is shown only once.
    shown = given | others | {"created_at": made["created_at"]}
    assert (answer.status, made) == (200, shown | ({"secret": made["secret"]} if resource == "domains" else {}))
    more = {"tsl": False, "barred": []} if resource == "products" else {}
    assert admin(resource, "GET", f"{resource}/{next(iter(given.values()))}").json() == shown | more
    assert {item.get("changed_by") for item in stored(Table.DIRECTORY)} == {None, OPERATOR}
    before = everything()
    again = admin(resource, "POST", resource, given)
    assert (again.status, again.json()["reason"]) == (409, "already_exists")
    assert everything() == before


CHANGES: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "families": ("F1", HOME, [{"members": []}, {"rooms": ["attic"]}, {"members": ["cleo"], "rooms": []}, {}]),
    "products": (
        "p1",
        {"product_key": "p1", "domains": ["d1"], "data_center": "eu"} | LOCK,
        [
            *({"name": "n" * 254}, {"module_type": "EC200"}, {"domains": []}, {"domains": None}, {"data_center": None}),
            *({"data_center": "us"}, {"capabilities": 15}, {"name": "Other", "domains": ["d1", "d2"]}, {}),
        ],
    ),
    "users": (
        "eve",
        USER,
        [
            *({"role": "administrator"}, {"home_mode": True}, {"customer": "MIGR00003"}, {"customer": None}),
            *({"domain": "d2"}, {"domain": None}, {"domain": "d2", "role": "administrator"}, {"domain": "d1"}),
            *({"email": "eve@example.com"}, {"email": None}, {"email": "e@x.de", "domain": "d2"}, {}),
        ],
    ),
}
"""By resource: an id, the fields of its creation, and changes."""


@pytest.mark.parametrize(
    ("resource", "change"), [(resource, change) for resource, (_, _, changes) in CHANGES.items() for change in changes]
)
def test_change_sets_only_the_specified_fields(resource: str, change: dict[str, Any]) -> None:
    domains()
    name, given, _ = CHANGES[resource]
    made = admin(resource, "POST", resource, given).json()
    before = admin(resource, "GET", f"{resource}/{name}").json()
    changed = admin(resource, "PATCH", f"{resource}/{name}", change)
    assert (changed.status, changed.json()) == (200, made | change)
    assert admin(resource, "GET", f"{resource}/{name}").json() == before | change


LISTS: dict[str, tuple[dict[str, str], list[dict[str, Any]], list[str]]] = {
    "accounts": ({}, [{"account": name, "name": name} for name in "cba"], ["a", "acme", "b", "c", "other"]),
    "domains": ({}, [{"domain": name} for name in "cab"], ["a", "b", "c"]),
    "families": (
        {"owner": "ada"},
        [*({"fid": fid, "owner": "ada"} for fid in "cab"), {"fid": "x", "owner": "ben"}],
        ["a", "b", "c"],
    ),
    "products": ({}, [LOCK | {"product_key": name} for name in "bca"], ["a", "b", "c"]),
    "users": ({"account": "other"}, [{"uid": uid, "account": "other"} for uid in "cba"], ["a", "b", "c"]),
}
"""Query, creations, and the ids that are listed, by resource."""


@pytest.mark.parametrize("resource", LISTS)
def test_list_is_sorted_and_paginated(resource: str) -> None:
    query, creations, ids = LISTS[resource]
    for body in creations:
        assert admin(resource, "POST", resource, body).status == 200
    first = admin(resource, "GET", resource, query=query | {"limit": "2"}).json()
    rest = admin(resource, "GET", resource, query=query | {"limit": "9", "cursor": first["next"]}).json()
    assert (len(first["items"]), rest["next"]) == (2, None)
    found = [*first["items"], *rest["items"]]
    assert [next(iter(entry.values())) for entry in found] == ids
    shown = admin(resource, "GET", f"{resource}/{ids[0]}").json()
    assert found[0].items() <= shown.items()


# ── User domains ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_domain_is_created_with_the_specified_fields() -> None:
    given = {"domain": "d", "enabled": False, "binders": "administrators", "secret": "q7Zr/fZ+9bc="}
    assert admin("domains", "POST", "domains", given).json().items() >= given.items()
    assert kept_secret() == given["secret"]


def test_change_sets_only_the_specified_fields_and_takes_effect() -> None:
    World()
    who = "arn:aws:iam::123456789012:user/other"
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"binders": "administrators"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (True, "administrators")
    refused(as_user(ME), 5669)
    changed = admin("domains", "PATCH", "domains/E.DM.1", {"enabled": False, "binders": "everyone"}, who=who)
    assert (changed.json()["enabled"], changed.json()["binders"]) == (False, "everyone")
    refused(as_user(ME), 5093)
    assert admin("domains", "PATCH", "domains/E.DM.1", {"enabled": True}).json()["enabled"] is True
    succeeded(as_user(ME))
    (record,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "domain"]
    assert record["changed_by"] == OPERATOR


def test_empty_change_writes_nothing() -> None:
    admin("domains", "POST", "domains", {"domain": "d"})
    before = everything()
    assert admin("domains", "PATCH", "domains/d", {}).body == admin("domains", "GET", "domains/d").body
    assert everything() == before


def kept_secret() -> str | None:
    return domain_secrets.of(user_domains.show("d"))


def test_replacing_a_domain_secret_changes_nothing_else() -> None:
    made = admin("domains", "POST", "domains", {"domain": "d", "binders": "administrators"}).json()
    random = admin("domains", "POST", "domains/d/secret", {}).json()
    assert random == made | {"secret": random["secret"]}
    assert re.fullmatch("[0-9a-f]{64}", made["secret"])
    assert kept_secret() == random["secret"] != made["secret"]
    given = admin("domains", "POST", "domains/d/secret", {"secret": "12345678"}).json()
    assert given == made | {"secret": "12345678"}
    assert kept_secret() == "12345678"


def test_domain_from_an_earlier_version_can_get_a_secret() -> None:
    user_domains.create("d")
    assert kept_secret() is None
    assert kept_secret() != admin("domains", "POST", "domains/d/secret", {}).json()["secret"] == kept_secret()


# ── Families ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_family_needs_only_an_owner() -> None:
    made = admin("families", "POST", "families", {"fid": "F1", "owner": "ada"}).json()
    assert (made["members"], made["rooms"]) == ([], [])


def test_change_of_members_and_rooms_keeps_bindings() -> None:
    world = World()
    world.at_home()
    admin("families", "PATCH", "families/F1", {"rooms": ["R9"]})
    refused(as_user(ME, fid="F1", frid="R1"), 5041)
    refused(as_user(ME, fid="F2"), 5041)
    admin("families", "PATCH", "families/F2", {"members": [ME]})
    succeeded(as_user(ME, fid="F2", frid="R1"))
    bound = everything()["BINDINGS"]
    admin("families", "PATCH", "families/F2", {"members": [], "rooms": []})
    assert everything()["BINDINGS"] == bound


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.MULTI])
def test_family_is_shown_with_its_devices(mode: Mode) -> None:
    world = World(mode)
    world.at_home()
    succeeded(as_user(ME, fid="F1"))
    shown = admin("families", "GET", "families/F1").json()
    assert shown["common_count"] == 1
    (device,) = shown["common_devices"]
    assert identity.from_opaque(device) == DEVICE
    fill("F1", 99)
    shown = admin("families", "PATCH", "families/F1", {"members": [OTHER]}).json()
    assert (shown["common_count"], len(shown["common_devices"])) == (100, 100)
    (listed,) = admin("families", "GET", "families", query={"owner": ME}).json()["items"]
    assert listed["common_count"] == 100


@pytest.mark.parametrize(("name", "limit"), [("members", 98), ("rooms", 100)])
def test_family_has_at_most_98_members_and_100_rooms(name: str, limit: int) -> None:
    ids = [str(number) for number in range(limit + 1)]
    for uid in ids if name == "members" else ():
        users.create(uid, "acme")
    assert admin("families", "POST", "families", HOME | {name: ids}).json()["reason"] == "limit_reached"
    assert admin("families", "POST", "families", HOME | {name: ids[1:]}).status == 200
    before = everything()
    assert admin("families", "PATCH", "families/F1", {name: ids}).json()["reason"] == "limit_reached"
    assert everything() == before


@pytest.mark.parametrize("uid", [ME, OTHER])
def test_removing_a_member_keeps_concurrently_changed_rooms(uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    before(monkeypatch, "UpdateItem", lambda: families.change("F1", rooms=["R1", "R2"]))
    families.remove_member("F1", uid)
    assert item_at(items.family("F1"))["rooms"] == ["R1", "R2"]


# ── Products ──────────────────────────────────────────────────────────────────────────────────────────────────────────


P1 = LOCK | {"product_key": "p1"}


@pytest.mark.parametrize("mode", Mode)
def test_product_is_created_with_the_specified_fields(mode: Mode) -> None:
    domains()
    given = P1 | {"mode": mode, "domains": ["d1"], "data_center": "eu", "capabilities": 5}
    assert admin("products", "POST", "products", given).json().items() >= given.items()


def test_change_of_product_domains_takes_effect_immediately() -> None:
    World()
    user_domains.create("E.DM.2")
    admin("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2"]})
    refused(as_user(ME), 5229)
    admin("products", "PATCH", f"products/{PK}", {"domains": ["E.DM.2", "E.DM.1"]})
    succeeded(as_user(ME))


def test_product_has_at_most_99_domains() -> None:
    names = [f"d{number}" for number in range(100)]
    for name in names:
        user_domains.create(name)
    assert admin("products", "POST", "products", P1 | {"domains": names}).json()["reason"] == "limit_reached"
    assert admin("products", "POST", "products", P1 | {"domains": names[1:]}).status == 200
    before = everything()
    assert admin("products", "PATCH", "products/p1", {"domains": names}).json()["reason"] == "limit_reached"
    assert everything() == before


def test_blocked_user_cannot_bind_until_unblocked() -> None:
    World()
    for _ in range(2):
        answer = admin("products", "PUT", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": True})
    (record,) = [item for item in stored(Table.DIRECTORY) if item["pk"] == f"bars#{ME}"]
    assert record["changed_by"] == OPERATOR
    refused(as_user(ME), 5327)
    for _ in range(2):
        answer = admin("products", "DELETE", f"products/{PK}/barred/{ME}")
        assert (answer.status, answer.json()) == (200, {"product_key": PK, "uid": ME, "barred": False})
    succeeded(as_user(ME))


def test_tsl_is_stored_beside_its_product_and_replaced() -> None:
    admin("products", "POST", "products", P1)
    (product,) = (item for item in stored(Table.DIRECTORY) if item["pk"] == "product#p1")
    for model in (TSL, {"properties": []}):
        answer = admin("products", "PUT", "products/p1/tsl", model)
        assert (answer.status, answer.json()) == (200, {"product_key": "p1", "properties": len(model["properties"])})
        assert admin("products", "GET", "products/p1").json()["tsl"] is True
    kept, record = (item for item in stored(Table.DIRECTORY) if item["pk"] == "product#p1")
    assert (kept, record["sk"], record["changed_by"]) == (product, "tsl", OPERATOR)
    assert json.loads(tsl.text(record)) == {"profile": {}, "properties": [], "services": [], "events": []}


@pytest.mark.parametrize("length", [256 * 1024, 256 * 1024 + 1])
def test_tsl_has_at_most_256_kib(length: int) -> None:
    admin("products", "POST", "products", P1)
    model = {"profile": {}, "properties": [], "services": [], "events": [], "text": ""}
    model["text"] = "x" * (length - len(json.dumps(model, separators=(",", ":"))))
    answer = admin("products", "PUT", "products/p1/tsl", model)
    assert (answer.status, answer.json().get("reason")) == (
        (200, None) if length <= tsl.LIMIT else (409, "limit_reached")
    )


def test_data_center_matches_the_stack_parameter() -> None:
    parameter = template.document()["Parameters"]["DataCenter"]
    assert (fields.DATA_CENTER["pattern"], fields.DATA_CENTER["max_length"]) == (
        parameter["AllowedPattern"],
        parameter["MaxLength"],
    )
