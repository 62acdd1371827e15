"""GET /v1/device/devices/{imei}, GET /v1/device/owned-devices/{device-id} (document 002)."""

from bindery.asseco import dialect, owned_devices
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import AliasChoices, Field


class GetDevice(Request):
    """The device's identifier."""

    identifier: dialect.PathIdentifier = Field(validation_alias=AliasChoices("imei", "device-id"))


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetDevice, caller: str) -> dialect.Device:
    """Return a device of the customer, also an unregistered one until it is registered again."""
    return dialect.owned(owned_devices.find(caller, request.identifier))
