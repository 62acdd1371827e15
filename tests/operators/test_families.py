from typing import Any

import pytest

from bindery.directory import accounts, users
from bindery.quectel import families
from bindery.registry import identity, items
from bindery.registry.bindings import Mode
from tests.concurrency.races import before
from tests.http_api import admin
from tests.quectel import DEVICE, ME, OTHER, World, as_user, fill, refused, succeeded
from tests.tables import everything, item_at

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def known(registry: None) -> None:
    """Create the users of these families."""
    accounts.create("acme", name="Acme")
    for uid in ("ada", "ben", "cleo"):
        users.create(uid, "acme")


HOME: dict[str, Any] = {"fid": "F1", "owner": "ada", "members": ["ben"], "rooms": ["kitchen", "hall"]}


def test_family_needs_only_an_owner(known: None) -> None:
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
def test_family_has_at_most_98_members_and_100_rooms(known: None, name: str, limit: int) -> None:
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
