"""GET /v1/device/owned-devices: the devices that a customer registered (document 002)."""

from typing import Annotated

from bindery.bindings import customer
from bindery.bindings.customer import Status
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.wire import Access, Reply


class ListOwnedDevices(asseco.Listing):
    """Which of them: those of some statuses, or all."""

    device_statuses: asseco.Csv[Status] = None
    sort_by: Annotated[str, asseco.member_of(asseco.Device)] | None = None


class OwnedDevices(Reply):
    """A page of them."""

    devices: list[asseco.Device]


@operation(asseco, Access.READ)
def handler(request: ListOwnedDevices, caller: str) -> OwnedDevices:
    """List the customer's devices, in the order of their registration unless they are to be sorted."""
    chosen = [
        device
        for device in map(asseco.owned, customer.owned(caller))
        if request.device_statuses is None or device.state in request.device_statuses
    ]
    return OwnedDevices(devices=request.part(chosen))
