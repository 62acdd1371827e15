"""GET /v1/device/issued-devices/{device-id} (document 002)."""

from bindery.asseco import dialect, issued_devices
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import Field


class GetIssuedDevice(Request):
    """The device's id."""

    device_id: dialect.PathIdentifier = Field(validation_alias="device-id")


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetIssuedDevice, caller: str) -> dialect.Issued:
    """Return a device issued to the customer, with its status as of today."""
    return dialect.issued(issued_devices.find(caller, request.device_id))
