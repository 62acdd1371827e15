"""Company devices (rufus): bind, find, unbind and list. Source: document 000.

A device is identified by account, model and serial number, so only its own account can hold it.
"""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Update
from bindery.aws.expressions import absent, equals
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity, items
from bindery.security import secrets

LIST_ROUND_TRIPS = 40
"""Maximum number of round trips for a page and its total."""

_ROUND_TRIP = 1_000_000
"""More devices than a round trip returns."""


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
    """A page, the length of the whole list, and whether any devices follow the page."""

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
    """Return a device of an account, even if banned. Raises `DEVICE_UNKNOWN`."""
    binding = dynamodb.get(items.owner(identity.company_device_of(account, device_id)))
    if binding is None or binding["holder"] != identity.account_holder(account):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return _from_item(device_id, binding)


def unbind(account: str, device_id: str, *, used: Update | None = None) -> None:
    """Unbind a device of an account, even if banned. `used` is written in the same transaction.

    Raises `DEVICE_UNKNOWN` with the `deviceid`.
    """
    key = items.owner(identity.company_device_of(account, device_id))
    still_held = equals("holder", identity.account_holder(account)).raises(Reason.DEVICE_UNKNOWN, deviceid=device_id)
    # A transaction, because its idempotency token makes a retry after a lost response succeed.
    dynamodb.transact([key.delete(when=still_held)], aside=used)


def list_devices(account: str, number: int, limit: int) -> NumberedPage:
    """Return page `number` (from 1) of an account's devices, oldest binding first.

    If `LIST_ROUND_TRIPS`, of some four thousand devices each, do not reach the end of the list, `total` is the number
    counted so far. Raises `INVALID` if they do not reach the end of the page.
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
