"""/admin/v1/families: families of quectel's home mode, and their rooms."""

from collections.abc import Sequence

from bindery.core.errors import Reason, Refused
from bindery.operators import deletion, references
from bindery.operators.resource import (
    UNCHANGED,
    Cascade,
    Cursor,
    Deletion,
    Id,
    Id64,
    Limit,
    Page,
    PathId,
    QueryId,
    RequestBody,
    Resource,
)
from bindery.quectel import families
from bindery.registry import identity, items

from pydantic import BaseModel

handler = Resource("families")


class NewFamily(RequestBody):
    """A family to create, with its other members and the ids of its rooms."""

    fid: Id64
    owner: Id
    members: Sequence[Id] = ()
    rooms: Sequence[Id64] = ()


class Change(RequestBody):
    """The lists to replace."""

    members: list[Id] = UNCHANGED
    rooms: list[Id64] = UNCHANGED


class Family(BaseModel):
    """A family, and the number of devices that all members see."""

    fid: str
    owner: str
    members: list[str]
    rooms: list[str]
    common_count: int
    created_at: int


class FamilyWithDevices(Family):
    """A family, and the devices that all members see."""

    common_devices: list[str]


def _by_location(members: Sequence[str]) -> dict[str, str]:
    return {f"members.{number}": uid for number, uid in enumerate(members[: families.MEMBER_LIMIT])}


def _from_item(family: items.Family) -> FamilyWithDevices:
    common = families.common(family)
    return FamilyWithDevices.model_validate(
        {**family, "common_count": len(common), "common_devices": [identity.opaque(device) for device in common]}
    )


@handler.app.post("/admin/v1/families")
def create(new: NewFamily) -> FamilyWithDevices:
    """Create a family."""
    references.require_users({"owner": new.owner, **_by_location(new.members)})
    families.create(new.fid, new.owner, members=new.members, rooms=new.rooms)
    return show(new.fid)


@handler.app.get("/admin/v1/families")
def list_families(owner: QueryId, limit: Limit = 50, cursor: Cursor = None) -> Page[Family]:
    """List the families that a user owns, by id."""
    return Page.of(families.list_families(owner, limit, cursor), _from_item)


@handler.app.get("/admin/v1/families/<fid>")
def show(fid: PathId) -> FamilyWithDevices:
    """Show a family."""
    found = families.show(fid)
    if "deleted_at" in found:
        raise Refused(Reason.NOT_FOUND)
    return _from_item(found)


@handler.app.patch("/admin/v1/families/<fid>")
def change(fid: PathId, changes: Change) -> FamilyWithDevices:
    """Replace a family's members, rooms, or both. Bindings are kept."""
    references.require_users(_by_location(changes.specified().get("members", ())))
    families.change(fid, **changes.specified())
    return show(fid)


@handler.app.delete("/admin/v1/families/<fid>")
def delete(fid: PathId, cascade: Cascade = False) -> Deletion:
    """Delete a family without members, with its rooms and list of common devices. Its id cannot be used again."""
    return Deletion.model_validate(deletion.family(fid, cascade=cascade)._asdict())
