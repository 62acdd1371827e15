"""Accounts, domains, families, products and users: created once, shown, changed, and listed."""

from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import accounts, users
from bindery.quectel import user_domains
from tests.http_api import OPERATOR, admin
from tests.tables import everything, stored

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
