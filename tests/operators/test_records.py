"""Accounts, domains, families, products and users: created once, shown, changed and listed."""

import json
import re
from collections.abc import Callable
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


P1 = {"product_key": "p1"} | LOCK
CODES = {"claim_codes": False, "claim_version": 1}
NO_DEVICES = {"common_count": 0, "common_devices": []}
CREATED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "accounts",
        {"account": "new", "name": " New Ltd "},
        {"name": "New Ltd", "enabled": True, "per_second": None, "burst": None},
    ),
    ("domains", {"domain": "d3"}, {"enabled": True, "binders": "everyone"}),
    ("domains", {"domain": "d3", "enabled": False, "binders": "administrators"}, {}),
    ("families", HOME, NO_DEVICES),
    ("families", {"fid": "F1", "owner": "ada"}, {"members": [], "rooms": []} | NO_DEVICES),
    ("products", P1, {"mode": 2, "domains": None, "data_center": None, "capabilities": 1} | CODES),
    *(
        ("products", P1 | {"mode": mode, "domains": ["d1"], "data_center": "eu", "capabilities": 5}, CODES)
        for mode in Mode
    ),
    (
        "users",
        USER | {"role": "administrator", "home_mode": True, "email": "Eve@Example.COM", "phone": "+447700900123"},
        {"enabled": True},
    ),
    (
        "users",
        {"uid": "eve", "account": "acme"},
        dict.fromkeys(("domain", "customer", "email", "phone"))
        | {"role": "regular", "home_mode": False, "enabled": True},
    ),
]
"""A resource, the fields of a creation, and the others that are shown."""


@pytest.mark.parametrize(("resource", "given", "others"), CREATED)
def test_record_is_created_once_and_shown(resource: str, given: dict[str, Any], others: dict[str, Any]) -> None:
    domains()
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
    "domains": ("d3", {"domain": "d3"}, [{"enabled": False}, {"binders": "administrators"}, {}]),
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
    made.pop("secret", None)
    before, stands = admin(resource, "GET", f"{resource}/{name}").json(), stored(Table.DIRECTORY)
    changed = admin(resource, "PATCH", f"{resource}/{name}", change, who="arn:other")
    assert (changed.status, changed.json()) == (200, made | change)
    assert admin(resource, "GET", f"{resource}/{name}").json() == before | change
    written = [item for item in stored(Table.DIRECTORY) if item not in stands]
    assert {item["changed_by"] for item in written} == ({"arn:other"} if made | change != made else set())


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


def kept_secret() -> str | None:
    return domain_secrets.of(user_domains.show("d"))


def test_replacing_a_domain_secret_changes_nothing_else() -> None:
    first = {"domain": "d", "binders": "administrators", "secret": "q7Zr/fZ+9bc="}
    made = admin("domains", "POST", "domains", first).json()
    assert made["secret"] == kept_secret() == "q7Zr/fZ+9bc="
    random = admin("domains", "POST", "domains/d/secret", {}).json()
    assert random == made | {"secret": random["secret"]}
    assert re.fullmatch("[0-9a-f]{64}", random["secret"])
    assert kept_secret() == random["secret"]
    given = admin("domains", "POST", "domains/d/secret", {"secret": "12345678"}).json()
    assert given == made | {"secret": "12345678"}
    assert kept_secret() == "12345678"


def test_domain_from_an_earlier_version_can_get_a_secret() -> None:
    user_domains.create("d")
    assert kept_secret() is None
    assert kept_secret() != admin("domains", "POST", "domains/d/secret", {}).json()["secret"] == kept_secret()


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


@pytest.mark.parametrize(
    ("resource", "given", "name", "limit", "create"),
    [
        ("families", HOME, "members", 98, lambda uid: users.create(uid, "acme")),
        ("families", HOME, "rooms", 100, lambda room: None),
        ("products", P1, "domains", 99, user_domains.create),
    ],
)
def test_family_and_product_name_a_limited_number_of_others(
    resource: str, given: dict[str, Any], name: str, limit: int, create: Callable[[str], object]
) -> None:
    ids = [f"x{number}" for number in range(limit + 1)]
    for each in ids:
        create(each)
    assert admin(resource, "POST", resource, given | {name: ids}).json()["reason"] == "limit_reached"
    assert admin(resource, "POST", resource, given | {name: ids[1:]}).status == 200
    before = everything()
    path = f"{resource}/{next(iter(given.values()))}"
    assert admin(resource, "PATCH", path, {name: ids}).json()["reason"] == "limit_reached"
    assert everything() == before


@pytest.mark.parametrize("uid", [ME, OTHER])
def test_removing_a_member_keeps_concurrently_changed_rooms(uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    before(monkeypatch, "UpdateItem", lambda: families.change("F1", rooms=["R1", "R2"]))
    families.remove_member("F1", uid)
    assert item_at(items.family("F1"))["rooms"] == ["R1", "R2"]


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
