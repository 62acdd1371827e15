"""Who holds a device, through whichever API it was bound: what stands there, and how operators end it."""

from collections.abc import Iterator

from bindery.asseco import owned_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Delete, Item, Key, Read, Table, Update
from bindery.core.errors import Reason, Refused
from bindery.quectel import user_devices
from bindery.registry import bindings, devices, identity

USER_LIMIT = 100
"""How many users of a device that several may hold are shown."""


def standing(device: str) -> tuple[Item | None, list[Item]]:
    """A device's `owner` binding, and the bindings of its first users by uid, each with the name its holder gave it."""
    found = dynamodb.page(
        Table.BINDINGS,
        "#pk = :device AND #sk >= :owner",
        {":device": device, ":owner": bindings.owner(device).sk},
        limit=USER_LIMIT + 1,
    ).items
    owner = next((item for item in found if item["sk"] == bindings.owner(device).sk), None)
    users = [item for item in found if item is not owner][:USER_LIMIT]
    # Users alone, or an owner alone: what a device's product lets hold it never changes.
    held_by_users = [item for item in (users or found) if "device_key" in item]
    reads = [Read(user_devices.place(item)) for item in held_by_users]
    for item, place in zip(held_by_users, dynamodb.get_many(reads) if reads else [], strict=True):
        item["name"] = None if place is None else place["name"]
    return owner, users


def end(device: str, why: str, *, uid: str | None = None) -> None:
    """End a binding by force, with its shares, and its device's place on the family's common list.

    Without `uid` it is the owner's, with it that user's own binding, or accepted share, of a device that several may
    hold. An asseco registration is left unregistered, its nickname free. One transaction, which also says with the
    device why. Raises `NOT_FOUND` (there is no such device or binding) and `CONFLICT` (the binding is no longer the
    one that was read: nothing has changed).
    """
    binding = dynamodb.get(bindings.owner(device) if uid is None else bindings.of_user(device, uid))
    if binding is None or binding.get("status") == Status.UNREGISTERED:
        raise Refused(Reason.NOT_FOUND)
    end_as_read(binding, why)


def end_as_read(binding: Item, why: str) -> None:
    """`end` for the very binding that was read: if another stands there by now, it stays."""
    dynamodb.transact([devices.unbound(binding["pk"], why), *_ending(binding)])


def _ending(binding: Item) -> Iterator[Update | Delete]:
    if "status" in binding:
        yield from owned_devices.ending(binding, Reason.CONFLICT)
        return
    place = dynamodb.get(user_devices.place(binding)) if "device_key" in binding else None
    _, uid = identity.holder_parts(binding["holder"])
    if place is not None and binding.get("kind") == "share":
        yield from user_devices.giving_back(uid, place, Reason.CONFLICT)
        return
    as_read = Condition(expression="#binding = :read", values={":read": binding["binding"]}, otherwise=Reason.CONFLICT)
    yield Delete(Key(Table.BINDINGS, binding["pk"], binding["sk"]), as_read)
    if place is not None:
        yield from user_devices.ending(uid, place, Reason.CONFLICT)
        yield from user_devices.leaving_family(uid, place)
