"""GET /v1/device/issued-devices (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, issued_devices
from bindery.asseco.issued_devices import CardStatus
from bindery.http.messages import Access, Reply
from bindery.http.operation import operation


class ListIssuedDevices(dialect.Listing):
    """Sort order and page. With `card-statuses`, only payment cards with one of these statuses."""

    card_statuses: dialect.Csv[CardStatus] = None
    sort_by: Annotated[str, dialect.member_of(dialect.PaymentCard)] = "device-id"


class IssuedDevices(Reply):
    """A page of issued devices."""

    devices: list[dialect.Issued]


@operation(dialect, Access.READ)
def handler(request: ListIssuedDevices, caller: str) -> IssuedDevices:
    """List the devices issued to the customer, with their status as of today."""
    chosen = [
        device
        for device in map(dialect.issued, issued_devices.list_devices(caller))
        if request.card_statuses is None
        or (isinstance(device, dialect.PaymentCard) and device.card_status in request.card_statuses)
    ]
    return IssuedDevices(devices=request.part(chosen))
