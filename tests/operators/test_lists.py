"""Lists of the admin API are sorted by id, paginated, and contain only what belongs to the named owner."""

from typing import Any

import pytest

from bindery.directory import accounts, users
from tests.http_api import admin

pytestmark = pytest.mark.usefixtures("registry")

LOCK = {"name": "Lock", "module_type": "M"}
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
    for name in ("acme", "other"):
        accounts.create(name, name="A company")
    for uid in ("ada", "ben"):
        users.create(uid, "acme")
    for body in creations:
        assert admin(resource, "POST", resource, body).status == 200
    first = admin(resource, "GET", resource, query=query | {"limit": "2"}).json()
    rest = admin(resource, "GET", resource, query=query | {"limit": "9", "cursor": first["next"]}).json()
    assert (len(first["items"]), rest["next"]) == (2, None)
    found = [*first["items"], *rest["items"]]
    assert [next(iter(entry.values())) for entry in found] == ids
    shown = admin(resource, "GET", f"{resource}/{ids[0]}").json()
    assert found[0].items() <= shown.items()
