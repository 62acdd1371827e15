"""/admin/v1/issued-devices: the cards and tokens that a bank issued to its customers (asseco)."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import Capability, CardStatus, IssuedDevice, Kind, Status
from bindery.core.errors import Reason
from bindery.directory.bulk_import import ROW_LIMIT, Report
from bindery.operators.resource import (
    UNCHANGED,
    Asked,
    Cursor,
    Limit,
    Page,
    PathCustomer,
    PathId,
    QueryCustomer,
    Resource,
    explained,
)

handler = Resource("issued_devices")


class Import(Asked):
    """Devices to enter or to replace, each row judged by itself: a dry run tells what would become of them."""

    rows: Annotated[Sequence[Any], Field(min_length=1, max_length=ROW_LIMIT)]
    dry_run: StrictBool = False


class Change(Asked):
    """What is to be another from now on; only a payment card has a card status."""

    status: Status = UNCHANGED
    card_status: CardStatus = UNCHANGED


class Issued(BaseModel):
    """An issued device as its customer sees it today."""

    customer: str
    device_id: str
    kind: Kind
    holder_id: str
    capabilities: list[Capability]
    status: Status
    nickname: str | None = Field(None, exclude_if=lambda nickname: nickname is None)


class IssuedCard(Issued):
    """A payment card, with what no other device has."""

    masked_card_number: str | None
    is_primary: bool | None
    card_status: CardStatus
    cardholder_name: str | None
    delivery_date: date | None
    activation_date: date | None
    expiration_date: date | None
    card_kind: str | None
    card_brand: str | None
    card_image_url: str | None


def _read(customer: str, device: IssuedDevice) -> IssuedCard | Issued:
    shown = IssuedCard if isinstance(device, issued_devices.PaymentCard) else Issued
    return shown.model_validate({"customer": customer, "nickname": device.nickname, **device.model_dump()})


@handler.app.post("/admin/v1/issued-devices/import")
def import_rows(given: Import) -> Report:
    """Enter or replace devices; rows that say what stands there already are not written."""
    return issued_devices.import_rows(given.rows, dry_run=given.dry_run)


@handler.app.get("/admin/v1/issued-devices")
def page(customer: QueryCustomer, limit: Limit = 50, cursor: Cursor = None) -> Page[IssuedCard | Issued]:
    """List the devices issued to a customer, by id."""
    found = issued_devices.page(customer, limit, cursor)
    return Page(items=[_read(customer, device) for device in found.devices], next=found.cursor)


@handler.app.patch("/admin/v1/issued-devices/<customer>/<device_id>")
def change(customer: PathCustomer, device_id: PathId, changes: Change) -> IssuedCard | Issued:
    """Change what a device is good for; its customer sees it at once."""
    with explained({Reason.NOT_FOUND: "The customer has no issued device with this id."}):
        changed = issued_devices.change(customer, device_id, **changes.given())
    return _read(customer, changed)
