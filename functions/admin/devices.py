"""/admin/v1/devices: what exists, in every API: manufactured, found, banned, unbound by force, given an address."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool

from bindery.connectivity import service_addresses
from bindery.core.errors import Reason
from bindery.directory.bulk_import import ROW_LIMIT, Report
from bindery.http.fields import ServiceAddress
from bindery.operators import device_search, forced_unbind
from bindery.operators.resource import (
    Asked,
    Cursor,
    DeviceId,
    Limit,
    Name,
    OptionalQueryId,
    OptionalQueryIdentifier,
    Page,
    Resource,
    explained,
)
from bindery.quectel import manufacturing
from bindery.registry import devices, identity

handler = Resource("devices")


class Import(Asked):
    """Rows of manufacturing records (`bindery.quectel.manufacturing.ManufacturedDevice`), each judged by itself.

    A device key that is missing or malformed is an error unless such devices are meant to be entered: `unbindable`.
    """

    rows: Annotated[Sequence[Any], Field(min_length=1, max_length=ROW_LIMIT)]
    dry_run: StrictBool = False
    unbindable: StrictBool = False


class Why(Asked):
    """Why an operator does it: for the next one who looks."""

    reason: Name


class Address(Asked):
    """A service address."""

    address: ServiceAddress


class Done(BaseModel):
    """What an operator did to a device."""

    at: int
    reason: str
    by: str | None


class Device(BaseModel):
    """A device: its identity, in the terms of its API, and its state. A device key is not shown.

    `unbanned` is when and by whom the last ban was lifted, with the reason of that ban.
    """

    device: str
    dialect: str
    account: str | None = None
    product_key: str | None = None
    serial: str | None = None
    imei: str | None = None
    mac: str | None = None
    facts: Mapping[str, str | int | None]
    device_key_set: bool | None
    enabled: bool
    active: bool
    address: str | None
    ban: Done | None
    unbanned: Done | None
    unbound: Done | None
    created_at: int
    changed_at: int | None = None
    changed_by: str | None = None


class Holder(BaseModel):
    """Who holds a device: an account, a user, or a bank's customer."""

    kind: str
    id: str


class Share(BaseModel):
    """A share that lasts."""

    uid: str
    expires_at: int


class Binding(BaseModel):
    """The binding of a device that one holds at a time. Of an asseco registration that has ended, the last one."""

    holder: Holder
    bound_at: int
    name: str | None
    status: str | None
    fid: str | None
    shares: Sequence[Share]


class User(BaseModel):
    """One of those who hold a device that several may, by a binding or by a share that lasts."""

    uid: str
    kind: str
    bound_at: int | None
    name: str | None
    fid: str | None
    expires_at: int | None


class HeldDevice(Device):
    """A device and who holds it: `users` are the first hundred."""

    binding: Binding | None
    users: Sequence[User]


def _show(device: str) -> HeldDevice:
    return HeldDevice.model_validate(device_search.show(device))


@handler.app.post("/admin/v1/devices/import")
def enter(asked: Import) -> Report:
    """Enter manufactured devices, or replace their manufacturing records."""
    return manufacturing.enter(asked.rows, dry_run=asked.dry_run, unbindable=asked.unbindable)


@handler.app.get("/admin/v1/devices")
def find(
    serial: OptionalQueryIdentifier = None,
    mac: OptionalQueryIdentifier = None,
    imei: OptionalQueryIdentifier = None,
    address: OptionalQueryIdentifier = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Device]:
    """Find devices by one of these, in whichever API they are.

    Only what is found by serial number has pages; the first may have one more than `limit`, a registered identifier.
    """
    found = device_search.find(limit, cursor, serial=serial, mac=mac, imei=imei, address=address)
    return Page(items=[Device.model_validate(device) for device in found.items], next=found.cursor)


@handler.app.get("/admin/v1/devices/<device>")
def show(device: DeviceId) -> HeldDevice:
    """Show a device, and who holds it."""
    return _show(identity.device_from_opaque(device))


@handler.app.post("/admin/v1/devices/<device>/ban")
def ban(device: DeviceId, why: Why) -> HeldDevice:
    """Ban a device: it can no longer be bound, added or connected to. A banned device keeps the first reason."""
    key = identity.device_from_opaque(device)
    devices.ban(key, why.reason)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/unban")
def unban(device: DeviceId) -> HeldDevice:
    """Lift a ban. Connections that the ban ended stay ended."""
    key = identity.device_from_opaque(device)
    devices.unban(key)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/unbind")
def unbind(device: DeviceId, why: Why, uid: OptionalQueryId = None) -> HeldDevice:
    """End a device's binding, or where several hold it that of the user `uid`."""
    key = identity.device_from_opaque(device)
    with explained({Reason.NOT_FOUND: "The device does not exist, or is not bound (by this user, if one is given)."}):
        forced_unbind.end(key, why.reason, uid=uid)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/disable")
def disable(device: DeviceId) -> HeldDevice:
    """Let nobody bind a manufactured device any more; who has it keeps it, and is connected to it."""
    key = identity.device_from_opaque(device)
    devices.set_enabled(key, False)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/enable")
def enable(device: DeviceId) -> HeldDevice:
    """Let a manufactured device be bound again."""
    key = identity.device_from_opaque(device)
    devices.set_enabled(key, True)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/activate")
def activate(device: DeviceId) -> HeldDevice:
    """Allow connections to a device again. Connections made before it was deactivated stay ended."""
    key = identity.device_from_opaque(device)
    devices.activate(key)
    return _show(key)


@handler.app.post("/admin/v1/devices/<device>/deactivate")
def deactivate(device: DeviceId) -> HeldDevice:
    """End the connections to a device, and refuse new ones."""
    key = identity.device_from_opaque(device)
    devices.deactivate(key)
    return _show(key)


@handler.app.put("/admin/v1/devices/<device>/address")
def assign(device: DeviceId, asked: Address) -> HeldDevice:
    """Give a device a service address; one that it has must be taken from it first."""
    key = identity.device_from_opaque(device)
    taken = "The device has a service address already, or another device has this one."
    with explained({Reason.ALREADY_EXISTS: taken}):
        service_addresses.assign(asked.address, key)
    return _show(key)


@handler.app.delete("/admin/v1/devices/<device>/address")
def withdraw(device: DeviceId) -> HeldDevice:
    """Take a device's service address from it."""
    key = identity.device_from_opaque(device)
    with explained({Reason.NOT_FOUND: "The device does not exist, or has no service address."}):
        service_addresses.withdraw_from(key)
    return _show(key)
