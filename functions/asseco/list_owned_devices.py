"""GET /v1/device/owned-devices (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, owned_devices
from bindery.asseco.owned_devices import Status
from bindery.http.messages import Access, Reply
from bindery.http.operation import operation


class ListOwnedDevices(dialect.Listing):
    """Sort order and page. With `device-statuses`, only devices with one of these statuses."""

    device_statuses: dialect.Csv[Status] = None
    sort_by: Annotated[str, dialect.member_of(dialect.Device)] | None = None


class OwnedDevices(Reply):
    """A page of owned devices."""

    devices: list[dialect.Device]


@operation(dialect, Access.READ)
def handler(request: ListOwnedDevices, caller: str) -> OwnedDevices:
    """List the customer's devices, in order of registration unless `sort-by` is specified."""
    chosen = [
        device
        for device in map(dialect.owned, owned_devices.list_devices(caller))
        if request.device_statuses is None or device.state in request.device_statuses
    ]
    return OwnedDevices(devices=request.part(chosen))
