"""Company devices (rufus). Their keys contain the account, so only that account can hold them."""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Update
from bindery.aws.expressions import absent, equals
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity, items
from bindery.security import secrets

LIST_ROUND_TRIPS = 40

_ROUND_TRIP = 1_000_000


class CompanyDevice(NamedTuple):
    """A bound device. `bound_at` is in milliseconds."""

    device_id: str
    model: str
    serial: str
    alias: str | None
    firmware: str | None
    kind: str | None
    bound_at: int


class NumberedPage(NamedTuple):
    """A page, the length of the list, and whether devices follow."""

    devices: list[CompanyDevice]
    total: int
    more: bool


def bind(
    account: str,
    model: str,
    serial: str,
    *,
    alias: str | None,
    firmware: str | None,
    kind: str | None,
    used: Update | None = None,
) -> str:
    """Bind a device and return its deviceid. Binding again replaces the specified facts.

    `used` is written in the same transaction. Raises `DEVICE_BANNED`.
    """
    model, serial = identity.canonical(model), identity.canonical(serial)
    device = identity.company_device(account, model, serial)
    holder = identity.account_holder(account)
    facts: items.Binding = {"holder": holder, "model": model, "serial": serial}
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
                    "leases": {},
                },
                when=(absent("holder") | equals("holder", holder)).raises(Reason.BOUND_BY_ANOTHER),
            ),
        ],
        aside=used,
    )
    return secrets.device_id(account, model, serial)


def find(account: str, device_id: str) -> CompanyDevice:
    """Return a device, even if banned. Raises `DEVICE_UNKNOWN`."""
    binding = dynamodb.get(items.owner(identity.company_device_of(account, device_id)))
    if binding is None or binding["holder"] != identity.account_holder(account):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return _from_item(device_id, binding)


def unbind(account: str, device_id: str, *, used: Update | None = None) -> None:
    """Unbind a device, even if banned. Raises `DEVICE_UNKNOWN`."""
    key = items.owner(identity.company_device_of(account, device_id))
    still_held = equals("holder", identity.account_holder(account)).raises(Reason.DEVICE_UNKNOWN, deviceid=device_id)
    # A transaction, because its idempotency token makes a retry after a lost response succeed.
    dynamodb.transact([key.delete(when=still_held)], aside=used)


def list_devices(account: str, number: int, limit: int) -> NumberedPage:
    """Return page `number` (from 1), oldest binding first. Raises `INVALID` if it is out of reach.

    `total` is the number counted in `LIST_ROUND_TRIPS`, of some four thousand devices each.
    """
    bound = items.held_by(identity.account_holder(account), "rufus")
    start, end = (number - 1) * limit, number * limit
    found: list[items.Binding] = []
    total, cursor = 0, None
    for _ in range(LIST_ROUND_TRIPS):
        if start <= total < end:
            part = dynamodb.page(bound, end - total, cursor)
            found += part.items
            total, cursor = total + len(part.items), part.cursor
        else:
            ahead = min(start - total, _ROUND_TRIP) if total < start else _ROUND_TRIP
            counted, cursor = dynamodb.count(bound, ahead, cursor)
            total += counted
        if cursor is None:
            break
    if cursor is not None and total < end:
        raise Refused(Reason.INVALID, parameters="page")
    shown = [_from_item(secrets.device_id(account, binding["model"], binding["serial"]), binding) for binding in found]
    return NumberedPage(shown, total, cursor is not None or total > end)


def _specified(alias: str | None, firmware: str | None, kind: str | None) -> items.Binding:
    facts: items.Binding = {}
    if alias is not None:
        facts["alias"] = alias
    if firmware is not None:
        facts["firmware"] = firmware
    if kind is not None:
        facts["type"] = kind
    return facts


def _from_item(device_id: str, binding: items.Binding) -> CompanyDevice:
    return CompanyDevice(
        device_id,
        binding["model"],
        binding["serial"],
        binding.get("alias"),
        binding.get("firmware"),
        binding.get("type"),
        binding["bound_at"],
    )
