"""Company devices (rufus). Their keys contain the account, so only that account can hold them."""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Update
from bindery.aws.expressions import absent
from bindery.connectivity import device_connections, presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity, items
from bindery.security import secrets


class CompanyDevice(NamedTuple):
    """A bound device, and its sessions and passings since then. Times are in milliseconds."""

    device_id: str
    model: str
    serial: str
    alias: str | None
    firmware: str | None
    kind: str | None
    bound_at: int
    sessions: int
    passings: int
    last_seen: int | None


def bind(
    account: str,
    model: str,
    serial: str,
    *,
    alias: str | None,
    firmware: str | None,
    kind: str | None,
    parts: int = 1,
    used: Update | None = None,
) -> str:
    """Bind a device and return its deviceid. Binding again replaces the specified facts.

    `parts` is the number of parts of the account's list; the device stays in its part until it is unbound. `used` is
    written in the same transaction. Raises `DEVICE_BANNED`.
    """
    model, serial = identity.canonical(model), identity.canonical(serial)
    device_id = secrets.device_id(account, model, serial)
    device = identity.company_device_of(account, device_id)
    facts: items.Binding = {"model": model, "serial": serial}
    now = clock.now()
    dynamodb.transact(
        [
            devices.seen(device, "rufus", {"model": model, "serial": serial}),
            items.owner(device).update(
                set=facts | _specified(alias, firmware, kind),
                once={
                    "binding": bindings.new_id(),
                    "bound_at": now,
                    "holder_sort": bindings.holder_sort("rufus", now),
                    "holder": identity.account_holder(account, part(device, parts)),
                    "leases": {},
                    "credential": secrets.fingerprint(device_id),
                },
                when=(absent("holder") | bindings.held_by(account)).raises(Reason.BOUND_BY_ANOTHER),
            ),
        ],
        aside=used,
    )
    return device_id


def part(device: str, parts: int) -> int:
    """Return the part of its account's list in which a device is bound first."""
    # A device's key ends with a hash, so its last digits are evenly distributed.
    return int(device[-8:], 16) % parts


def find(account: str, device_id: str) -> CompanyDevice:
    """Return a device, even if banned. Raises `DEVICE_UNKNOWN`."""
    binding = dynamodb.get(items.owner(identity.company_device_of(account, device_id)))
    if binding is None or not bindings.is_held_by(binding, account):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return from_item(device_id, binding)


def unbind(account: str, device_id: str, *, used: Update | None = None) -> None:
    """Unbind a device, even if banned. Raises `DEVICE_UNKNOWN`."""
    key = items.owner(identity.company_device_of(account, device_id))
    still_held = bindings.held_by(account).raises(Reason.DEVICE_UNKNOWN, deviceid=device_id)
    last = presence.find(key.pk)
    # A transaction, because its idempotency token makes a retry after a lost response succeed.
    dynamodb.transact([key.delete(when=still_held), items.presence(key.pk).delete()], aside=used)
    device_connections.release(last)


def _specified(alias: str | None, firmware: str | None, kind: str | None) -> items.Binding:
    facts: items.Binding = {}
    if alias is not None:
        facts["alias"] = alias
    if firmware is not None:
        facts["firmware"] = firmware
    if kind is not None:
        facts["type"] = kind
    return facts


def from_item(device_id: str, binding: items.Binding) -> CompanyDevice:
    """Return the device of a binding."""
    return CompanyDevice(
        device_id,
        binding["model"],
        binding["serial"],
        binding.get("alias"),
        binding.get("firmware"),
        binding.get("type"),
        binding["bound_at"],
        binding.get("sessions", 0),
        binding.get("passings", 0),
        binding.get("last_seen"),
    )
