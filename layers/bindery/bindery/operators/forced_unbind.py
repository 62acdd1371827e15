"""Holders of a device, and how operators end bindings."""

from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from bindery.asseco import owned_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Delete, Put, Read, Table, Update
from bindery.aws.expressions import equals
from bindery.connectivity import device_connections
from bindery.core.errors import Reason, Refused
from bindery.quectel import user_devices
from bindery.registry import acts, devices, holdings, identity, items
from bindery.registry.bindings import Mode

USER_LIMIT = 100


class Holder(NamedTuple):
    """A binding or share, and the holder's name for the device."""

    binding: items.Binding
    name: str | None


def holders(device: str) -> tuple[Holder | None, list[Holder]]:
    """Return a device's owner, or in multi mode its first users."""
    found = dynamodb.page(items.holders(device), USER_LIMIT + 1).items
    owner = next((binding for binding in found if binding["sk"] == items.owner(device).sk), None)
    users = [binding for binding in found if binding is not owner][:USER_LIMIT]
    # A device has an owner or users, never both: the mode of its product cannot be changed.
    entries = [user_devices.key_of(binding) for binding in (users or found) if "device_key" in binding]
    names = dynamodb.get_many([Read(entry) for entry in entries]) if entries else Batch({})
    return None if owner is None else _holder(owner, names), [_holder(user, names) for user in users]


def is_registration(binding: items.Binding) -> TypeGuard[items.Registration]:
    """Return True for an asseco registration."""
    return "status" in binding


def lasts(binding: items.Binding) -> bool:
    """Return False for an asseco registration that has ended."""
    return not is_registration(binding) or binding["status"] != Status.UNREGISTERED


def end(device: str, why: str, *, uid: str | None = None) -> None:
    """End a device's binding and shares, or in multi mode what `uid` holds.

    A registration becomes unregistered. Raises `NOT_FOUND` and `CONFLICT`.
    """
    binding = dynamodb.get(items.owner(device) if uid is None else items.user_binding(device, uid))
    if binding is None or not lasts(binding):
        raise Refused(Reason.NOT_FOUND)
    end_unchanged(binding, why)


def end_unchanged(binding: items.Binding, why: str, cause: items.Cause = "operator") -> None:
    """`end` a binding, and disconnect the device. Raises `CONFLICT` if it has changed."""
    device = binding["pk"]
    dynamodb.transact([devices.unbound(device, why), *ending(binding, why, cause)])
    if binding.get("kind") != "share":
        device_connections.close(device, binding["binding"], "unbound")


def ending(binding: items.Binding, why: str, cause: items.Cause) -> list[Update | Delete | Put]:
    """Return the writes that end a binding or share, with the act. They raise `CONFLICT` if it has changed."""
    device, ended = binding["pk"], binding["share"] if binding.get("kind") == "share" else binding["binding"]
    entry = dynamodb.get(user_devices.key_of(binding)) if "device_key" in binding else None
    return [*_writes(binding, entry), *acts.ending(device, ended, why, cause, _shares(binding, entry))]


def _holder(binding: items.Binding, entries: Batch) -> Holder:
    if "device_key" in binding:
        entry = entries[user_devices.key_of(binding)]
        return Holder(binding, None if entry is None else entry["name"])
    return Holder(binding, binding["nickname"] if is_registration(binding) else binding.get("alias"))


def _shares(binding: items.Binding, entry: items.UserDevice | None) -> list[str]:
    """Return the ids of the shares that end with a binding in multi mode."""
    if entry is None or entry["kind"] == "share" or entry["mode"] != Mode.MULTI:
        return []
    keys = [items.user_binding(binding["pk"], uid) for uid in holdings.lasting(entry["shares"])]
    return [share["share"] for share in map(dynamodb.get, keys) if share is not None]


def _writes(binding: items.Binding, entry: items.UserDevice | None) -> Iterator[Update | Delete]:
    if is_registration(binding):
        yield from owned_devices.end_registration(binding, Reason.CONFLICT)
        return
    _, uid = identity.holder_parts(binding["holder"])
    if entry is not None and binding.get("kind") == "share":
        yield from user_devices.give_back(uid, entry, Reason.CONFLICT)
        return
    unchanged = equals("binding", binding["binding"]).raises(Reason.CONFLICT)
    yield items.key_of(Table.BINDINGS, binding).delete(when=unchanged)
    if entry is not None:
        yield from user_devices.end_binding(uid, entry, Reason.CONFLICT)
        yield from user_devices.leave_family(uid, entry)
