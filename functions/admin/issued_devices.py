"""/admin/v1/issued-devices: cards and tokens that a bank issued to its customers (asseco)."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from bindery.asseco import issued_devices
from bindery.asseco.issued_devices import Capability, CardStatus, IssuedDevice, Kind, Status
from bindery.core.errors import Reason
from bindery.directory.bulk_import import ROW_LIMIT, Report
from bindery.operators.resource import (
    UNCHANGED,
    Cursor,
    Limit,
    Page,
    PathCustomer,
    PathId,
    QueryCustomer,
    RequestBody,
    Resource,
    explained,
)

from pydantic import BaseModel, Field, StrictBool

handler = Resource("issued_devices")


class Import(RequestBody):
    """Devices to import. Rows are independent. A dry run writes nothing."""

    rows: Annotated[Sequence[Any], Field(min_length=1, max_length=ROW_LIMIT)]
    dry_run: StrictBool = False


class Change(RequestBody):
    """The statuses to change. Only payment cards have a card status."""

    status: Status = UNCHANGED
    card_status: CardStatus = UNCHANGED


class Issued(BaseModel):
    """An issued device."""

    customer: str
    device_id: str
    kind: Kind
    holder_id: str
    capabilities: list[Capability]
    status: Status
    nickname: str | None = Field(None, exclude_if=lambda nickname: nickname is None)


class IssuedCard(Issued):
    """A payment card."""

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


def _from_device(customer: str, device: IssuedDevice) -> IssuedCard | Issued:
    shown = IssuedCard if isinstance(device, issued_devices.PaymentCard) else Issued
    return shown.model_validate({"customer": customer, "nickname": device.nickname, **device.model_dump()})


@handler.app.post("/admin/v1/issued-devices/import")
def import_rows(body: Import) -> Report:
    """Create or replace devices. Rows without a change are not written."""
    return issued_devices.import_rows(body.rows, dry_run=body.dry_run)


@handler.app.get("/admin/v1/issued-devices")
def list_devices(customer: QueryCustomer, limit: Limit = 50, cursor: Cursor = None) -> Page[IssuedCard | Issued]:
    """List the devices issued to a customer, by id."""
    found = issued_devices.list_page(customer, limit, cursor)
    return Page(items=[_from_device(customer, device) for device in found.devices], next=found.cursor)


@handler.app.patch("/admin/v1/issued-devices/<customer>/<device_id>")
def change(customer: PathCustomer, device_id: PathId, changes: Change) -> IssuedCard | Issued:
    """Change the status of a device."""
    with explained({Reason.NOT_FOUND: "The customer has no issued device with this id."}):
        changed = issued_devices.change(customer, device_id, **changes.specified())
    return _from_device(customer, changed)
