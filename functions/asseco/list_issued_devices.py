"""GET /v1/device/issued-devices: the cards and tokens that the bank issued to a customer (document 002)."""

from typing import Annotated

from bindery.dialects import asseco
from bindery.directory import issued_devices
from bindery.directory.issued_devices import CardStatus
from bindery.edge import operation
from bindery.wire import Access, Reply


class ListIssuedDevices(asseco.Listing):
    """Which of them: the payment cards of some statuses, or all."""

    card_statuses: asseco.Csv[CardStatus] = None
    sort_by: Annotated[str, asseco.member_of(asseco.PaymentCard)] = "device-id"


class IssuedDevices(Reply):
    """A page of them."""

    devices: list[asseco.Issued]


@operation(asseco, Access.READ)
def handler(request: ListIssuedDevices, caller: str) -> IssuedDevices:
    """List the customer's issued devices, each with the status that it has today."""
    chosen = [
        device
        for device in map(asseco.issued, issued_devices.issued(caller))
        if request.card_statuses is None
        or (isinstance(device, asseco.PaymentCard) and device.card_status in request.card_statuses)
    ]
    return IssuedDevices(devices=request.part(chosen))
