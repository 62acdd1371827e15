"""Families (quectel's home mode). Bindings name them, so deleted ones are kept, empty."""

from collections.abc import Iterator, Sequence
from typing import Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Put, Update
from bindery.aws.expressions import Condition, absent, contains, equals, exists, fewer
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import identity, items
from bindery.registry.bindings import Mode

MEMBER_LIMIT = 98
"""Members beside the owner: with everybody's notes, one transaction."""

ROOM_LIMIT = 100

COMMON_LIMIT = 100

_ROUND_TRIPS = 50

_NOT_DELETED = (exists() & absent("deleted_at")).raises(Reason.NOT_FOUND)


def create(fid: str, owner: str, *, members: Sequence[str] = (), rooms: Sequence[str] = ()) -> None:
    """Create a family. Raises `ALREADY_EXISTS` and `LIMIT_REACHED`."""
    home: items.Family = {"members": list(members), "rooms": list(rooms)}
    _check_limits(home)
    facts: items.Family = {
        "collection": items.families(owner).value,
        "fid": fid,
        "owner": owner,
        "created_at": clock.now(),
    }
    family = items.family(fid).put(facts | home, when=absent().raises(Reason.ALREADY_EXISTS))
    dynamodb.transact([family, *_notes(fid, [owner, *members])])


def show(fid: str) -> items.Family:
    """Return a family. Raises `NOT_FOUND`."""
    return directory.show(items.family(fid))


def list_families(owner: str, limit: int, cursor: str | None) -> CursorPage[items.Family]:
    """Return a page of a user's own families."""
    return dynamodb.page(items.families(owner), limit, cursor)


def change(fid: str, /, **members: Unpack[items.Family]) -> None:
    """Replace `members`, `rooms`, or both. Raises `NOT_FOUND` and `LIMIT_REACHED`."""
    _check_limits(members)
    if "members" not in members:
        directory.change(items.family(fid), members, _NOT_DELETED)
        return
    family = items.family(fid).update(set=members, when=_NOT_DELETED)
    dynamodb.transact([family, *_notes(fid, members["members"])])


def emptied(family: items.Family) -> Update:
    """Delete a family: only its id is kept. Raises `NOT_FOUND` and `CONFLICT`."""
    left: items.Family = {"owner": "", "members": [], "rooms": [], "deleted_at": clock.now()}
    same = equals("owner", family["owner"]) & equals("members", family["members"])
    return items.family(family["fid"]).update(
        set=left, remove=["collection", "common"], when=same.raises(Reason.CONFLICT)
    )


def remove_member(fid: str, uid: str) -> None:
    """Remove a user. Raises `NOT_FOUND` and `CONFLICT`."""
    # Members keep a family without an owner. Without either, only its id is kept.
    family = show(fid)
    owner = "" if uid == family["owner"] else family["owner"]
    members = [member for member in family["members"] if member != uid]
    left: items.Family = {"owner": owner, "members": members}
    removed = [] if owner else ["collection"]
    if not owner and not members:
        left["rooms"] = []
        removed.append("common")
    unchanged = equals("owner", family["owner"]) & equals("members", family["members"])
    dynamodb.write(items.family(fid).update(set=left, remove=removed, when=unchanged.raises(Reason.CONFLICT)))


def common_entry(device: str, uid: str, mode: int) -> str:
    """Return a binding's entry in a common list."""
    # In multi mode each user has an entry, which ends with their binding.
    return identity.join("user", uid, device) if mode == Mode.MULTI else device


def common(family: items.Family) -> list[str]:
    """Return the devices in the common list."""
    entries = family.get("common", set())
    return sorted({entry.split("#", 2)[2] if entry.startswith("user#") else entry for entry in entries})


def has_member(family: items.Family | None, uid: str, frid: str | None) -> bool:
    """Return True if a user belongs to a family with the room."""
    if not family:
        return False
    return (uid == family["owner"] or uid in family["members"]) and (frid is None or frid in family["rooms"])


def is_full(family: items.Family, entry: str) -> bool:
    """Return True if an entry has no space."""
    entries = family.get("common", set())
    return entry not in entries and len(entries) >= COMMON_LIMIT


def user_is_member(uid: str, frid: str | None, *, entry: str | None) -> Condition:
    """Condition: `has_member`, and space for an entry."""
    condition = equals("owner", uid) | contains("members", uid)
    if frid is not None:
        condition &= contains("rooms", frid)
    if entry is None:
        return condition.raises(Reason.FAMILY_FORBIDDEN)
    has_space = absent("common") | fewer("common", COMMON_LIMIT) | contains("common", entry)
    return (condition & has_space).raises(
        lambda now: Reason.COMMON_LIST_FULL if has_member(now, uid, frid) else Reason.FAMILY_FORBIDDEN
    )


def add_common(fid: str, entry: str, when: Condition) -> Update:
    """Add an entry to a common list."""
    return items.family(fid).update(add={"common": {entry}}, when=when)


def remove_common(fid: str, entry: str, when: Condition | None = None) -> Update:
    """Remove an entry from a common list."""
    return items.family(fid).update(delete={"common": {entry}}, when=when)


def memberships(uid: str) -> Iterator[str]:
    """Yield a user's families, including former ones."""
    for note in dynamodb.query(items.memberships(uid), consistent=True, round_trips=_ROUND_TRIPS):
        yield note["fid"]


def _notes(fid: str, uids: Sequence[str]) -> list[Put]:
    # A note outlives the membership. It is removed when the user is erased.
    return [items.membership(fid, uid).put({"fid": fid}) for uid in dict.fromkeys(uids)]


def _check_limits(members: items.Family) -> None:
    if len(members.get("members", ())) > MEMBER_LIMIT or len(members.get("rooms", ())) > ROOM_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
