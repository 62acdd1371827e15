"""/admin/v1/devices: the devices of all APIs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from bindery.connectivity import device_connections, device_credentials, service_addresses
from bindery.core.errors import Reason, Refused
from bindery.directory.bulk_import import ROW_LIMIT, Report
from bindery.http.fields import ServiceAddress
from bindery.operators import (
    bulk,
    connected_devices,
    credential_backfill,
    device_counts,
    device_deletion,
    device_lists,
    device_search,
    forced_unbind,
    stock,
)
from bindery.operators.resource import (
    BulkAct,
    Cursor,
    Days,
    DeviceId,
    Id,
    Id64,
    Limit,
    Name,
    OptionalQueryAddress,
    OptionalQueryId,
    OptionalQueryIdentifier,
    OptionalQueryState,
    OptionalSinceState,
    Page,
    QueryApi,
    RequestBody,
    Resource,
    explained,
)
from bindery.quectel import manufacturing, transfers
from bindery.registry import devices, identity, ownership
from bindery.registry.items import ServiceKind, State

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

handler = Resource("devices")


class Import(RequestBody):
    """Manufacturing records (`bindery.quectel.manufacturing.ManufacturedDevice`). A dry run only validates.

    Rows are independent. Without a valid device key, they fail unless `unbindable` is true.
    """

    rows: Annotated[Sequence[Any], Field(min_length=1, max_length=ROW_LIMIT)]
    dry_run: StrictBool = False
    unbindable: StrictBool = False


class WithReason(RequestBody):
    """A reason, shown to other operators."""

    reason: Name


class Service(RequestBody):
    """A service address. Apps show and filter by the type of service and its port."""

    address: ServiceAddress
    service: ServiceKind | None = None
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None


class Action(BaseModel):
    """An operator's action."""

    at: int
    reason: str
    by: str | None


class Ban(Action):
    """A ban. A device that is lost or retired has a ban of this kind."""

    kind: Literal["banned", "lost", "retired"]


class Device(BaseModel):
    """A device. `unbanned` has the reason for the ban that was lifted."""

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
    services: Sequence[Service]
    ban: Ban | None
    unbanned: Action | None
    unbound: Action | None
    created_at: int
    changed_at: int | None = None
    changed_by: str | None = None
    states: Mapping[State, int] | None = Field(None, exclude_if=lambda states: states is None)
    """Only in lists: since when the device is in each of its states, in milliseconds."""


class Holder(BaseModel):
    """An account, a user, or a bank's customer."""

    kind: str
    id: str


class Share(BaseModel):
    """A share that has not ended."""

    uid: str
    expires_at: int


class Binding(BaseModel):
    """The binding of a device with one holder, or its last asseco registration, even if it has ended."""

    holder: Holder
    bound_at: int
    name: str | None
    status: str | None
    fid: str | None
    shares: Sequence[Share]


class Offered(RequestBody):
    """The user to whom a device is offered, and for how many days."""

    to: Id
    days: Annotated[StrictInt, Field(ge=1, le=transfers.DAYS_LIMIT)] = transfers.DAYS


class Accepted(RequestBody):
    """The user to whom the device was offered, and in home mode one of the user's families, and a room."""

    uid: Id
    fid: Id64 | None = None
    frid: Id64 | None = None


class Declined(RequestBody):
    """The user to whom the device was offered."""

    uid: Id


class IssuedKey(BaseModel):
    """A device key, shown only once."""

    device: str
    key: str


class Deleted(BaseModel):
    """A deleted device. If not `complete`, repeat the request: there is more to delete."""

    device: str
    complete: bool


class User(BaseModel):
    """A user of a device that several users can hold, by a binding or a share."""

    uid: str
    kind: str
    bound_at: int | None
    name: str | None
    fid: str | None
    expires_at: int | None


class Presence(BaseModel):
    """State of a device's connection under its present binding. Times are in milliseconds."""

    state: Literal["never connected", "online", "offline"]
    connected_at: int | None = None
    last_seen_at: int | None = None
    ip: str | None = None
    agent: str | None = None


class Offer(BaseModel):
    """An offer of a device to the user `to`, and the operator who made it."""

    to: str
    expires_at: int
    by: str | None


class DeviceWithHolders(Device):
    """A device, its state, and its holders. `users` are the first hundred."""

    state: ownership.State
    offer: Offer | None
    presence: Presence

    binding: Binding | None
    users: Sequence[User]


class BulkLine(RequestBody):
    """A device by one of `device`, `serial` (with or without `product_key`), `imei` and `mac`.

    `address`, `service` and `port` are for `assign`, `address` also for `unassign`, and `uid` for `unbind`.
    """

    device: StrictStr | None = None
    product_key: StrictStr | None = None
    serial: StrictStr | None = None
    imei: StrictStr | None = None
    mac: StrictStr | None = None
    address: StrictStr | None = None
    service: ServiceKind | None = None
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None
    uid: StrictStr | None = None


class BulkChange(RequestBody):
    """Part of a bulk change. What others changed after `began_at` (default: now) is left alone.

    With `undoes`, the id of a job, only devices that this job has changed are changed. A dry run only reports.
    """

    devices: Annotated[list[BulkLine], Field(max_length=bulk.LIMIT)]
    reason: Name | None = None
    job: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    began_at: Annotated[StrictInt, Field(ge=0, lt=10**14)] | None = None
    undoes: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    dry_run: StrictBool = False


class BulkOutcome(BaseModel):
    """Outcome for a device (null if the line names none), and why it was refused."""

    device: str | None
    outcome: Literal["done", "unchanged", "refused"]
    problem: str | None


class BulkReport(BaseModel):
    """Outcomes in the order of the devices, and the times to which `began_at` refers."""

    began_at: int
    ended_at: int
    outcomes: Sequence[BulkOutcome]


class Start(RequestBody):
    """Beginning of a part: `next` of the previous response."""

    cursor: Annotated[str, Field(max_length=4096)] | None = None


class Backfill(BaseModel):
    """Bindings examined and changed. Repeat the request with `next` as `cursor` until it is null."""

    examined: int
    changed: int
    next: str | None


class OnlineDevice(BaseModel):
    """A connected device: since when, from which address, and with which agent."""

    device: str
    dialect: str
    account: str | None = None
    product_key: str | None = None
    serial: str | None = None
    imei: str | None = None
    mac: str | None = None
    connected_at: int
    ip: str
    agent: str


class Day(BaseModel):
    """Number of bindings that began and ended on a day (UTC)."""

    day: str
    began: int
    ended: int


class Counts(BaseModel):
    """Numbers of devices at a moment of the history: `all`, and in each state.

    `at` is the time of the response, and `last_change` that of a change that was counted lately. `online` includes
    connections whose end was not reported.
    """

    kind: Literal["product", "account", "api"]
    name: str
    at: int
    last_change: int | None
    devices: Mapping[str, int]
    days: Sequence[Day]


@handler.app.post("/admin/v1/devices/import")
def import_rows(body: Import) -> Report:
    """Import manufactured devices, or replace their manufacturing records."""
    return manufacturing.enter(body.rows, dry_run=body.dry_run, unbindable=body.unbindable)


@handler.app.post("/admin/v1/devices/backfill-credentials")
def backfill_credentials(body: Start) -> Backfill:
    """Give up to 500 bindings of an earlier version the credentials with which their devices connect."""
    done = credential_backfill.run(body.cursor)
    return Backfill(examined=done.examined, changed=done.changed, next=done.cursor)


@handler.app.get("/admin/v1/devices")
def list_devices(
    serial: OptionalQueryIdentifier = None,
    mac: OptionalQueryIdentifier = None,
    imei: OptionalQueryIdentifier = None,
    address: OptionalQueryIdentifier = None,
    product: OptionalQueryId = None,
    account: OptionalQueryId = None,
    api: QueryApi = None,
    state: OptionalQueryState = None,
    since: OptionalSinceState = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Device]:
    """Find devices by serial number, MAC address, IMEI or service address, or list devices.

    Listed are those of a product (quectel), an account (rufus) or an API, or all, by the time of registration; with
    `state`, those in this state, by the time since when. Lists are as of the last recorded event. A page can have fewer
    entries than `limit`, and the first of a search by serial number one more. A device that enters a state again is
    listed again, later.
    """
    identifiers = {"serial": serial, "mac": mac, "imei": imei, "address": address}
    if any(value is not None for value in identifiers.values()):
        if any(value is not None for value in (product, account, api, state, since)):
            raise Refused(Reason.INVALID, detail="Give either an identifier, or what to list.")
        return Page.of(device_search.find(limit, cursor, **identifiers), Device.model_validate)
    scopes = device_lists.scopes(product, account, api)
    return Page.of(device_lists.page(scopes, state, since or 0, limit, cursor), Device.model_validate)


@handler.app.get("/admin/v1/devices/counts")
def counts(
    product: OptionalQueryId = None,
    account: OptionalQueryId = None,
    api: QueryApi = None,
    days: Days = 7,
    cursor: Cursor = None,
) -> Page[Counts]:
    """Count the devices of a product (quectel), an account (rufus) or an API, or of all, in each state."""
    found = device_counts.page(device_lists.scopes(product, account, api), days, cursor)
    return Page.of(found, Counts.model_validate)


# Not a device's id, which is much longer.
@handler.app.get("/admin/v1/devices/online")
def online(limit: Limit = 50, cursor: Cursor = None) -> Page[OnlineDevice]:
    """List the connected devices, the longest connected first.

    A page can have fewer entries than `limit`. A device that connects again is listed again, later.
    """
    return Page.of(connected_devices.find(limit, cursor), OnlineDevice.model_validate)


# Before the actions on a device. Its path is such that a policy for an action on any device includes the bulk change.
@handler.app.post("/admin/v1/devices/bulk/<act>")
def change(act: BulkAct, body: BulkChange) -> BulkReport:
    """Do an act on up to 100 devices, each in a transaction of its own, and return the outcome of each.

    Repeat a request whose response was lost: with the same `job`, a device that it has changed is `done` again.
    """
    if bulk.ACTS[act].needs_reason and body.reason is None:
        raise Refused(Reason.INVALID, at="body.reason", detail="is required for this act")
    job = bulk.job(body.began_at, body.job, body.reason or "", body.undoes, dry_run=body.dry_run)
    report = bulk.run(act, [bulk.Line(**line.specified()) for line in body.devices], job)
    shown = [BulkOutcome(device=each.device, outcome=each.result, problem=each.problem) for each in report.outcomes]
    return BulkReport(began_at=report.began_at, ended_at=report.ended_at, outcomes=shown)


@handler.app.get("/admin/v1/devices/<device>")
def show(device: DeviceId) -> DeviceWithHolders:
    """Show a device and its holders."""
    return DeviceWithHolders.model_validate(device_search.show(identity.device_from_opaque(device)))


@handler.app.delete("/admin/v1/devices/<device>")
def delete(device: DeviceId) -> Deleted:
    """Delete an unbound device, with its service addresses, key, passings and ban. Its history stays."""
    return Deleted(device=device, complete=device_deletion.delete(identity.device_from_opaque(device)))


@handler.app.post("/admin/v1/devices/<device>/ban")
def ban(device: DeviceId, body: WithReason) -> DeviceWithHolders:
    """Ban a device: it can no longer be bound, added or connected to. The first reason is kept."""
    device_connections.ban(identity.device_from_opaque(device), body.reason)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/unban")
def unban(device: DeviceId) -> DeviceWithHolders:
    """Lift the ban of a device. Its connections stay ended."""
    devices.unban(identity.device_from_opaque(device))
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/unbind")
def unbind(device: DeviceId, body: WithReason, uid: OptionalQueryId = None) -> DeviceWithHolders:
    """End a device's binding, or that of the user `uid` if several can hold it."""
    key = identity.device_from_opaque(device)
    with explained({Reason.NOT_FOUND: "The device does not exist, or is not bound (by this user, if one is given)."}):
        forced_unbind.end(key, body.reason, uid=uid)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/offer")
def offer(device: DeviceId, body: Offered) -> DeviceWithHolders:
    """Offer a device to another user, for its holder (quectel, if only one user can hold it)."""
    transfers.offer(identity.device_from_opaque(device), body.to, body.days)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/accept")
def accept(device: DeviceId, body: Accepted) -> DeviceWithHolders:
    """Accept an offer for its user, who becomes the holder. Nothing of the last holder's stays with the device."""
    transfers.accept(identity.device_from_opaque(device), body.uid, fid=body.fid, frid=body.frid)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/decline")
def decline(device: DeviceId, body: Declined) -> DeviceWithHolders:
    """Decline an offer for its user."""
    transfers.decline(identity.device_from_opaque(device), body.uid)
    return show(device)


# `withdraw` is that of service addresses.
@handler.app.post("/admin/v1/devices/<device>/withdraw")
def withdraw_offer(device: DeviceId) -> DeviceWithHolders:
    """Withdraw an offer for the holder who made it."""
    transfers.withdraw(identity.device_from_opaque(device))
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/lost")
def lost(device: DeviceId, body: WithReason) -> DeviceWithHolders:
    """Record that a device is lost: its holder keeps it, but it cannot be bound, added or connected to."""
    stock.lose(identity.device_from_opaque(device), body.reason)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/found")
def found(device: DeviceId) -> DeviceWithHolders:
    """Record that a lost device was found: it can be used again."""
    stock.find(identity.device_from_opaque(device))
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/retire")
def retire(device: DeviceId, body: WithReason) -> DeviceWithHolders:
    """End a device's bindings and take it out of use, until it is returned to stock."""
    stock.retire(identity.device_from_opaque(device), body.reason)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/return")
def take_back(device: DeviceId, body: WithReason) -> DeviceWithHolders:
    """Return a device to stock: end its bindings, revoke its key, and make a lost or retired one usable again."""
    stock.take_back(identity.device_from_opaque(device), body.reason)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/key")
def issue_key(device: DeviceId) -> IssuedKey:
    """Issue a key with which a device connects. An earlier key stops working."""
    key = identity.device_from_opaque(device)
    return IssuedKey(device=device, key=device_credentials.issue(key))


@handler.app.post("/admin/v1/devices/<device>/revoke-key")
def revoke_key(device: DeviceId) -> DeviceWithHolders:
    """Revoke a device's key, and disconnect the device if it uses it."""
    with explained({Reason.NOT_FOUND: "The device does not exist, or has no key."}):
        device_credentials.revoke(identity.device_from_opaque(device))
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/disable")
def disable(device: DeviceId) -> DeviceWithHolders:
    """Prevent new bindings of a manufactured device. Existing ones are kept."""
    devices.set_enabled(identity.device_from_opaque(device), False)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/enable")
def enable(device: DeviceId) -> DeviceWithHolders:
    """Allow new bindings of a manufactured device again."""
    devices.set_enabled(identity.device_from_opaque(device), True)
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/activate")
def activate(device: DeviceId) -> DeviceWithHolders:
    """Allow connections to a device again."""
    devices.activate(identity.device_from_opaque(device))
    return show(device)


@handler.app.post("/admin/v1/devices/<device>/deactivate")
def deactivate(device: DeviceId) -> DeviceWithHolders:
    """End all connections to a device and refuse new ones."""
    devices.deactivate(identity.device_from_opaque(device))
    return show(device)


@handler.app.put("/admin/v1/devices/<device>/address")
def assign(device: DeviceId, body: Service) -> DeviceWithHolders:
    """Assign a service address to a device, which can have 16."""
    key = identity.device_from_opaque(device)
    texts = {
        Reason.ALREADY_EXISTS: "A device has this service address already.",
        Reason.LIMIT_REACHED: f"The device has {service_addresses.LIMIT} service addresses already.",
    }
    with explained(texts):
        service_addresses.assign(body.address, key, body.service, body.port)
    return show(device)


@handler.app.delete("/admin/v1/devices/<device>/address")
def withdraw(device: DeviceId, address: OptionalQueryAddress = None) -> DeviceWithHolders:
    """Withdraw a service address of a device, by default all of them."""
    key = identity.device_from_opaque(device)
    with explained({Reason.NOT_FOUND: "The device does not exist, or does not have this service address."}):
        service_addresses.withdraw_from(key, address)
    return show(device)
