"""GET /v1/device/owned-devices: the devices that a customer registered (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, owned_devices
from bindery.asseco.owned_devices import Status
from bindery.http.messages import Access, Reply
from bindery.http.operation import operation


class ListOwnedDevices(dialect.Listing):
    """Which of them: those of some statuses, or all."""

    device_statuses: dialect.Csv[Status] = None
    sort_by: Annotated[str, dialect.member_of(dialect.Device)] | None = None


class OwnedDevices(Reply):
    """A page of them."""

    devices: list[dialect.Device]


@operation(dialect, Access.READ)
def handler(request: ListOwnedDevices, caller: str) -> OwnedDevices:
    """List the customer's devices, in the order of their registration unless they are to be sorted."""
    chosen = [
        device
        for device in map(dialect.owned, owned_devices.owned(caller))
        if request.device_statuses is None or device.state in request.device_statuses
    ]
    return OwnedDevices(devices=request.part(chosen))
