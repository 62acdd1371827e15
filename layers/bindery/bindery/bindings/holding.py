"""Who holds a device, through whichever API it was bound: what stands there, and how operators end it."""

from bindery import devices, dynamo, identity
from bindery.bindings import customer, record
from bindery.bindings.customer import Status
from bindery.directory import families
from bindery.dynamo import Check, Condition, Delete, Item, Table, Update
from bindery.faults import Fault, Reason

USER_LIMIT = 100
"""How many users of a device that several may hold are shown."""


def standing(device: str) -> tuple[Item | None, list[Item]]:
    """A device's `owner` binding, and the bindings of its first users by uid: one consistent round trip."""
    found = dynamo.page(
        Table.BINDINGS,
        "#pk = :device AND #sk >= :owner",
        {":device": device, ":owner": record.owner(device).sk},
        limit=USER_LIMIT + 1,
    ).items
    owner = next((item for item in found if item["sk"] == record.owner(device).sk), None)
    return owner, [item for item in found if item is not owner][:USER_LIMIT]


def end(device: str, why: str, *, uid: str | None = None) -> None:
    """End a binding by force, with its shares, and its device's place on the family's common list.

    Without `uid` it is the owner's, with it that user's own binding, or accepted share, of a device that several may
    hold. An asseco registration is left unregistered, its nickname free. One transaction, which also says with the
    device why. Raises `NOT_FOUND` (there is no such device or binding) and `UNAVAILABLE` (the binding is no longer the
    one that was read: nothing has changed).

    Where another user has the same device on the same family's list, it stays on it. Should that other bind in the
    milliseconds after it was looked for, the list lacks the device until it is entered again; the binding is whole.
    """
    binding = dynamo.get(record.owner(device) if uid is None else record.of_user(device, uid))
    if binding is None or binding.get("status") == Status.UNREGISTERED:
        raise Fault(Reason.NOT_FOUND)
    end_as_read(binding, why)


def end_as_read(binding: Item, why: str) -> None:
    """`end` for the very binding that was read: if another stands there by now, it stays."""
    device, own = binding["pk"], binding["sk"] != record.owner(binding["pk"]).sk
    dynamo.transact([devices.unbound(device, why), *_ending(binding), *_leaving_family(device, binding, own)])


def _ending(binding: Item) -> list[Update | Delete]:
    if "status" in binding:
        return customer.ending(binding, Reason.UNAVAILABLE)
    # A share that a user accepted has an id of its own in the place of a binding's.
    name = "binding" if "binding" in binding else "share"
    place = dynamo.Key(Table.BINDINGS, binding["pk"], binding["sk"])
    as_read = Condition(expression=f"#{name} = :read", values={":read": binding[name]}, otherwise=Reason.UNAVAILABLE)
    return [Delete(place, as_read)]


def _leaving_family(device: str, binding: Item, own: bool) -> list[Update | Check]:
    if not binding.get("common"):
        return []
    if own and (other := _housemate(device, binding)) is not None:
        # Held to it, so that of two who are ended at once the last one takes the device off the list.
        place = dynamo.Key(Table.BINDINGS, device, other["sk"])
        stays = Condition(
            expression="#binding = :other", values={":other": other["binding"]}, otherwise=Reason.UNAVAILABLE
        )
        return [Check(place, stays)]
    return [families.drop_common(binding["fid"], device)]


def _housemate(device: str, binding: Item) -> Item | None:
    """Another user's binding that has the device on the same family's common list."""
    users = dynamo.query(
        Table.BINDINGS,
        "#pk = :device AND begins_with(#sk, :user)",
        {":device": device, ":user": identity.user_holder("")},
        consistent=True,
    )
    return next(
        (
            other
            for other in users
            if other.get("common") and other["fid"] == binding["fid"] and other["sk"] != binding["sk"]
        ),
        None,
    )
