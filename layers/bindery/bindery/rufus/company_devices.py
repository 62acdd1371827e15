"""rufus: a company binds a device that it names itself (document 000).

A device is (account, model, serial), so nobody else can hold it; binding it again is a retry or a re-install.
"""

from typing import NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Delete, Item, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import bindings, devices, identity
from bindery.security import secrets

LIST_ROUND_TRIPS = 40
"""How far a list is read for one of its pages and its total, a megabyte each."""

_ROUND_TRIP = 1_000_000
"""More devices than a round trip can bring or count."""


class CompanyDevice(NamedTuple):
    """A bound device: what its company says of it, and when (milliseconds) it was bound."""

    device_id: str
    model: str
    serial: str
    alias: str | None
    firmware: str | None
    kind: str | None
    bound_at: int


class Part(NamedTuple):
    """A page of a list, how many devices the whole list has, and whether there are any after the page."""

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
    """Bind a device to an account and return its deviceid. What is given replaces what an earlier bind gave.

    One transaction of two items, so that a ban and a bind never cross; `used` (of the `ApiKey`) goes along with it.
    Raises `DEVICE_BANNED`.
    """
    model, serial = identity.canonical(model), identity.canonical(serial)
    device = identity.company_device(account, model, serial)
    given = {
        name: value for name, value in {"alias": alias, "firmware": firmware, "type": kind}.items() if value is not None
    }
    facts = {"holder": identity.account_holder(account), "model": model, "serial": serial, **given}
    now = clock.now()
    dynamodb.transact(
        [
            devices.seen(device, "rufus", {"model": model, "serial": serial}),
            Update(
                bindings.owner(device),
                "SET #binding = if_not_exists(#binding, :binding), #bound_at = if_not_exists(#bound_at, :now), "
                "#since = if_not_exists(#since, :since), #connected = if_not_exists(#connected, :nobody), "
                + ", ".join(f"#{name} = :{name}" for name in facts),
                {":binding": bindings.new_id(), ":now": now, ":since": bindings.since("rufus", now), ":nobody": {}}
                | {f":{name}": value for name, value in facts.items()},
                Condition(
                    expression="attribute_not_exists(#holder) OR #holder = :holder", otherwise=Reason.BOUND_BY_ANOTHER
                ),
            ),
        ],
        aside=used,
    )
    return secrets.device_id(account, model, serial)


def find(account: str, device_id: str) -> CompanyDevice:
    """A device that an account holds, banned or not. Raises `DEVICE_UNKNOWN`: unbound, another account's, or none."""
    binding = dynamodb.get(bindings.owner(identity.company_device_of(account, device_id)))
    if binding is None or binding["holder"] != identity.account_holder(account):
        raise Refused(Reason.DEVICE_UNKNOWN)
    return _read(device_id, binding)


def unbind(account: str, device_id: str, *, used: Update | None = None) -> None:
    """End the binding of a device that an account holds, banned or not, and with it all that was said of the device.

    A transaction of one, because its token makes a repetition after a lost answer the same success; `used` (of the
    `ApiKey`) goes along with it. Raises `DEVICE_UNKNOWN`, which names the `deviceid`.
    """
    held = Condition(
        expression="#holder = :holder",
        values={":holder": identity.account_holder(account)},
        otherwise=Reason.DEVICE_UNKNOWN,
        detail={"deviceid": device_id},
    )
    dynamodb.transact([Delete(bindings.owner(identity.company_device_of(account, device_id)), held)], aside=used)


def page(account: str, number: int, limit: int) -> Part:
    """Page `number` (from 1) of the devices that an account holds, those bound last at the end.

    The list is counted from its start to its end, a megabyte a round trip: some four thousand devices of ordinary
    text. Where `LIST_ROUND_TRIPS` of them do not reach the end, `total` is how far they came. Raises `INVALID`: they do
    not reach the end of the page.
    """
    held = (
        Table.BINDINGS,
        "#holder = :holder AND begins_with(#since, :dialect)",
        {":holder": identity.account_holder(account), ":dialect": "rufus#"},
    )
    start, end = (number - 1) * limit, number * limit
    found: list[Item] = []
    total, cursor = 0, None
    for _ in range(LIST_ROUND_TRIPS):
        if start <= total < end:
            part = dynamodb.page(*held, index=bindings.BY_HOLDER, limit=end - total, cursor=cursor)
            found += part.items
            total, cursor = total + len(part.items), part.cursor
        else:
            ahead = min(start - total, _ROUND_TRIP) if total < start else _ROUND_TRIP
            counted, cursor = dynamodb.count(*held, index=bindings.BY_HOLDER, limit=ahead, cursor=cursor)
            total += counted
        if cursor is None:
            break
    if cursor is not None and total < end:
        raise Refused(Reason.INVALID, parameters="page")
    shown = [_read(secrets.device_id(account, binding["model"], binding["serial"]), binding) for binding in found]
    return Part(shown, total, cursor is not None or total > end)


def _read(device_id: str, binding: Item) -> CompanyDevice:
    return CompanyDevice(
        device_id,
        binding["model"],
        binding["serial"],
        binding.get("alias"),
        binding.get("firmware"),
        binding.get("type"),
        binding["bound_at"],
    )
