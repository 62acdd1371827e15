"""GET /v1/device/issued-devices: the cards and tokens that the bank issued to a customer (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, issued_devices
from bindery.asseco.issued_devices import CardStatus
from bindery.http.messages import Access, Reply
from bindery.http.operation import operation


class ListIssuedDevices(dialect.Listing):
    """Which of them: the payment cards of some statuses, or all."""

    card_statuses: dialect.Csv[CardStatus] = None
    sort_by: Annotated[str, dialect.member_of(dialect.PaymentCard)] = "device-id"


class IssuedDevices(Reply):
    """A page of them."""

    devices: list[dialect.Issued]


@operation(dialect, Access.READ)
def handler(request: ListIssuedDevices, caller: str) -> IssuedDevices:
    """List the customer's issued devices, each with the status that it has today."""
    chosen = [
        device
        for device in map(dialect.issued, issued_devices.issued(caller))
        if request.card_statuses is None
        or (isinstance(device, dialect.PaymentCard) and device.card_status in request.card_statuses)
    ]
    return IssuedDevices(devices=request.part(chosen))
