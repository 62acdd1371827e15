from typing import Any

import pytest

from bindery.aws.dynamodb import Table
from bindery.directory import accounts, users
from bindery.registry import identity
from bindery.registry.bindings import Mode
from tests.http_api import OPERATOR, admin
from tests.quectel import DEVICE, ME, OTHER, World, as_user, fill, refused, succeeded
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def known(registry: None) -> None:
    """Create the users of these families."""
    accounts.create("acme", name="Acme")
    for uid in ("ada", "ben", "cleo"):
        users.create(uid, "acme")


@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "families", {"fid": "F2", "owner": "nobody"}, "owner"),
        ("POST", "families", {"fid": "F2", "owner": "ada", "members": ["ben", "nobody"]}, "members.1"),
        ("PATCH", "families/F1", {"members": ["nobody"]}, "members.0"),
    ],
)
def test_unknown_user_is_refused_by_name(known: None, method: str, path: str, body: Any, at: str) -> None:
    admin("families", "POST", "families", HOME)
    before = everything()
    answer = admin("families", method, path, body)
    assert (answer.status, answer.json()["reason"]) == (404, "not_found")
    assert answer.json()["errors"] == [{"at": at, "problem": "not_found", "message": "the user does not exist"}]
    assert everything() == before


HOME: dict[str, Any] = {"fid": "F1", "owner": "ada", "members": ["ben"], "rooms": ["kitchen", "hall"]}
EMPTY = {"common_count": 0, "common_devices": []}


def test_family_is_created_once_and_shown(known: None) -> None:
    made = admin("families", "POST", "families", HOME)
    assert made.status == 200
    assert made.json() == {**HOME, **EMPTY, "created_at": made.json()["created_at"]}
    assert admin("families", "GET", "families/F1").body == made.body
    (record,) = [item for item in stored(Table.DIRECTORY) if item["sk"] == "family"]
    assert record["changed_by"] == OPERATOR
    before = everything()
    assert admin("families", "POST", "families", HOME | {"owner": "ben"}).status == 409
    assert everything() == before


def test_family_needs_only_an_owner(known: None) -> None:
    made = admin("families", "POST", "families", {"fid": "F1", "owner": "ada"}).json()
    assert (made["members"], made["rooms"]) == ([], [])


def test_family_list_of_an_owner_is_paginated(known: None) -> None:
    for fid, owner in [("a", "ada"), ("b", "ada"), ("x", "ben"), ("c", "ada")]:
        admin("families", "POST", "families", HOME | {"fid": fid, "owner": owner})
    first = admin("families", "GET", "families", query={"owner": "ada", "limit": 2}).json()
    assert [family["fid"] for family in first["items"]] == ["a", "b"]
    assert first["items"][0].keys() == {"fid", "owner", "members", "rooms", "common_count", "created_at"}
    rest = admin("families", "GET", "families", query={"owner": "ada", "limit": 2, "cursor": first["next"]}).json()
    assert ([family["fid"] for family in rest["items"]], rest["next"]) == (["c"], None)


@pytest.mark.parametrize("query", ["", "owner=", "owner=a%20b", "owner=ada&cursor=x"])
def test_list_requires_exactly_one_owner(query: str) -> None:
    assert admin("families", "GET", "families", query=query).status == 422


@pytest.mark.parametrize("change", [{"members": []}, {"rooms": ["attic"]}, {"members": ["cleo"], "rooms": []}, {}])
def test_change_sets_only_the_specified_fields(known: None, change: dict[str, Any]) -> None:
    made = admin("families", "POST", "families", HOME).json()
    changed = admin("families", "PATCH", "families/F1", change)
    assert (changed.status, changed.json()) == (200, made | change)
    assert admin("families", "GET", "families/F1").body == changed.body


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
def test_family_has_at_most_98_members_and_100_rooms(known: None, name: str, limit: int) -> None:
    ids = [str(number) for number in range(limit + 1)]
    for uid in ids if name == "members" else ():
        users.create(uid, "acme")
    assert admin("families", "POST", "families", HOME | {name: ids}).json()["reason"] == "limit_reached"
    assert admin("families", "POST", "families", HOME | {name: ids[1:]}).status == 200
    before = everything()
    assert admin("families", "PATCH", "families/F1", {name: ids}).json()["reason"] == "limit_reached"
    assert everything() == before


@pytest.mark.parametrize(
    "body", [{"members": None}, {"members": "ben"}, {"rooms": ["a/b"]}, {"owner": "ben"}, {"common_devices": []}]
)
def test_invalid_change_is_422(known: None, body: object) -> None:
    admin("families", "POST", "families", HOME)
    before = everything()
    assert admin("families", "PATCH", "families/F1", body).status == 422
    assert everything() == before


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"rooms": []}), ("PATCH", {})])
def test_unknown_family_is_404(method: str, body: object) -> None:
    assert admin("families", method, "families/x", body).json()["reason"] == "not_found"
    assert stored(Table.DIRECTORY) == []
