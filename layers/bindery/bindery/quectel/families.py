"""Families (quectel's home mode): who lives there, its rooms, and the devices that all of them see first.

A family is never removed from the directory, so a binding may name it for good.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Put, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity
from bindery.registry.bindings import Mode

MEMBER_LIMIT = 98
"""Maximum number of members beside the owner: with the family and a note of each person, one transaction."""

ROOM_LIMIT = 100
"""How many rooms a family has at most."""

COMMON_LIMIT = 100
"""How many entries a family's common list has at most."""

_ROUND_TRIPS = 50
"""Maximum number of round trips for the notes of one user: a megabyte each."""


def key(fid: str) -> Key:
    """Where a family stands in the directory."""
    return Key(Table.DIRECTORY, f"family#{fid}", "family")


def create(fid: str, owner: str, *, members: Sequence[str] = (), rooms: Sequence[str] = ()) -> None:
    """Enter a family of `owner` and the users in `members`, with rooms by their ids.

    Raises `ALREADY_EXISTS` and `LIMIT_REACHED` (over 98 members or 100 rooms).
    """
    home = {"members": list(members), "rooms": list(rooms)}
    _check(home)
    family = Put(
        key(fid),
        {"list": listed(owner), "fid": fid, "owner": owner, "created_at": clock.now(), **home},
        Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
    )
    dynamodb.transact([family, *_notes(fid, [owner, *members])])


def show(fid: str) -> Item:
    """A family's record. Raises `NOT_FOUND`."""
    return directory.show(key(fid))


def page(owner: str, limit: int, cursor: str | None) -> Page:
    """Part of the list of the families that a user owns. Raises `INVALID`: the cursor is none."""
    return directory.page(listed(owner), limit, cursor)


def change(fid: str, **members: Any) -> None:
    """Say who lives in a family beside its owner (`members`), which rooms it has (`rooms`), or both.

    What is bound there stays, in whichever room. Raises `NOT_FOUND` and `LIMIT_REACHED` (over 98 members or 100 rooms).
    """
    _check(members)
    if "members" not in members:
        directory.change(key(fid), members)
        return
    expression = ", ".join(f"#{name} = :{name}" for name in members)
    values = {f":{name}": value for name, value in members.items()}
    family = Update(key(fid), f"SET {expression}", values, directory.EXISTS)
    dynamodb.transact([family, *_notes(fid, members["members"])])


def remove_member(fid: str, uid: str) -> None:
    """Take a user out of a family. One who is not in it stays so.

    A family that loses its owner stays, without one, for those who live there; where nobody does, nothing but its id is
    left of it. Raises `NOT_FOUND`, and `CONFLICT` (it was changed meanwhile: nothing of this has been done).
    """
    family = show(fid)
    owner = "" if uid == family["owner"] else family["owner"]
    members = [member for member in family["members"] if member != uid]
    left, ended = {"owner": owner, "members": members}, [] if owner else ["#list"]
    if not owner and not members:
        left, ended = left | {"rooms": []}, [*ended, "#common"]
    dynamodb.write(
        Update(
            key(fid),
            f"SET {', '.join(f'#{name} = :{name}' for name in left)}"
            + (f" REMOVE {', '.join(ended)}" if ended else ""),
            {f":{name}": value for name, value in left.items()}
            | {":was_owner": family["owner"], ":were_members": family["members"]},
            Condition(expression="#owner = :was_owner AND #members = :were_members", otherwise=Reason.CONFLICT),
        )
    )


def enter_common(fid: str, device: str) -> None:
    """Put a device (by its identity) on a family's common list. Raises `NOT_FOUND` and `LIMIT_REACHED` (over 100)."""
    room = Condition(
        expression=f"attribute_exists(#pk) AND ({_ROOM})",
        values={":device": device, ":limit": COMMON_LIMIT},
        otherwise=lambda found: Reason.LIMIT_REACHED if found else Reason.NOT_FOUND,
    )
    dynamodb.write(add_common(fid, device, room))


def entry(device: str, uid: str, mode: int) -> str:
    """What stands on a family's common list for a device that a user bound there.

    In multi mode each of its users who wants it there has an entry of their own, which ends with their binding.
    """
    return identity.join("user", uid, device) if mode == Mode.MULTI else device


def common(family: Mapping[str, Any]) -> list[str]:
    """The devices on a family's common list, each once."""
    listed = family.get("common", ())
    return sorted({each.split("#", 2)[2] if each.startswith("user#") else each for each in listed})


def admits(family: Item | None, uid: str, frid: str | None) -> bool:
    """Whether a user may put a device into a family, and into its room `frid` if one is named."""
    if not family:
        return False
    return (uid == family["owner"] or uid in family["members"]) and (frid is None or frid in family["rooms"])


def full(family: Item, wanted: str) -> bool:
    """Whether a family's common list has no room for an entry."""
    common = family.get("common", set())
    return wanted not in common and len(common) >= COMMON_LIMIT


def holds(uid: str, frid: str | None, *, common: str | None) -> Condition:
    """What `admits` says, and with `common` that this entry has room on the common list, as a condition.

    It stands for `FAMILY_FORBIDDEN` and `COMMON_LIST_FULL`.
    """
    expression, values = "(#owner = :uid OR contains(#members, :uid))", {":uid": uid}
    if frid is not None:
        expression, values = f"{expression} AND contains(#rooms, :frid)", values | {":frid": frid}
    if common is None:
        return Condition(expression=expression, values=values, otherwise=Reason.FAMILY_FORBIDDEN)
    return Condition(
        expression=f"{expression} AND ({_ROOM})",
        values=values | {":device": common, ":limit": COMMON_LIMIT},
        otherwise=lambda found: Reason.COMMON_LIST_FULL if admits(found, uid, frid) else Reason.FAMILY_FORBIDDEN,
    )


def add_common(fid: str, common: str, condition: Condition) -> Update:
    """The part of a write that puts an entry on a family's common list; once there it stays there once."""
    return Update(key(fid), "ADD #common :devices", {":devices": {common}}, condition)


def drop_common(fid: str, common: str, condition: Condition | None = None) -> Update:
    """The part of a write that takes an entry off a family's common list, if it is there."""
    return Update(key(fid), "DELETE #common :devices", {":devices": {common}}, condition)


_ROOM = "attribute_not_exists(#common) OR size(#common) < :limit OR contains(#common, :device)"


def listed(owner: str) -> str:
    """Under which a user's own families stand in the index by list."""
    return identity.join("families", owner)


def memberships(uid: str) -> Iterator[str]:
    """Yield the ids of the families that a user owns, belongs to or once belonged to, from a consistent read."""
    values = {":user": membership("", uid).pk}
    for note in dynamodb.query(Table.DIRECTORY, "#pk = :user", values, consistent=True, round_trips=_ROUND_TRIPS):
        yield note["fid"]


def membership(fid: str, uid: str) -> Key:
    """Key of the note that a user owns or belongs to a family. The notes of a user are one partition."""
    return Key(Table.DIRECTORY, identity.join("memberships", uid), identity.join("family", fid))


def _notes(fid: str, uids: Sequence[str]) -> list[Put]:
    """Note that users belong to a family. A note outlives the membership, and is removed when the user is erased."""
    return [Put(membership(fid, uid), {"fid": fid}) for uid in dict.fromkeys(uids)]


def _check(members: Item) -> None:
    if len(members.get("members", ())) > MEMBER_LIMIT or len(members.get("rooms", ())) > ROOM_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
