"""/admin/v1/families: the families of quectel's home mode, and their rooms."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bindery.operators import references
from bindery.operators.resource import UNCHANGED, Asked, Cursor, Id, Id64, Limit, Page, PathId, QueryId, Resource
from bindery.quectel import families
from bindery.registry import identity

handler = Resource("families")


class NewFamily(Asked):
    """A family to enter: its owner, the users who live there too, and the ids of its rooms."""

    fid: Id64
    owner: Id
    members: Sequence[Id] = ()
    rooms: Sequence[Id64] = ()


class Change(Asked):
    """What is to be another from now on: a list replaces the one before."""

    members: list[Id] = UNCHANGED
    rooms: list[Id64] = UNCHANGED


class Family(BaseModel):
    """A family, and how many devices are common to all who live there."""

    fid: str
    owner: str
    members: list[str]
    rooms: list[str]
    common_count: int
    created_at: int


class FamilyWithDevices(Family):
    """A family with the ids of its common devices."""

    common_devices: list[str]


def _named(members: Sequence[str]) -> dict[str, str]:
    return {f"members.{number}": uid for number, uid in enumerate(members[: families.MEMBER_LIMIT])}


def _read(record: Mapping[str, Any]) -> FamilyWithDevices:
    common = families.common(record)
    return FamilyWithDevices.model_validate(
        {**record, "common_count": len(common), "common_devices": [identity.opaque(device) for device in common]}
    )


@handler.app.post("/admin/v1/families")
def create(new: NewFamily) -> FamilyWithDevices:
    """Enter a family."""
    references.require_users({"owner": new.owner, **_named(new.members)})
    families.create(new.fid, new.owner, members=new.members, rooms=new.rooms)
    return _read(families.show(new.fid))


@handler.app.get("/admin/v1/families")
def page(owner: QueryId, limit: Limit = 50, cursor: Cursor = None) -> Page[Family]:
    """List the families that a user owns, by id."""
    found = families.page(owner, limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/families/<fid>")
def show(fid: PathId) -> FamilyWithDevices:
    """Show a family, and the devices on its common list."""
    return _read(families.show(fid))


@handler.app.patch("/admin/v1/families/<fid>")
def change(fid: PathId, changes: Change) -> FamilyWithDevices:
    """Change who lives in a family, which rooms it has, or both; what is bound there stays."""
    references.require_users(_named(changes.given().get("members", ())))
    families.change(fid, **changes.given())
    return _read(families.show(fid))
