"""POST /v1/device/owned-devices/{device-id}/unblock (document 002)."""

from bindery.asseco import dialect, owned_devices
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import Field


class UnblockDevice(Request):
    """The device's identifier."""

    identifier: dialect.PathIdentifier = Field(validation_alias="device-id")


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: UnblockDevice, caller: str) -> dialect.NoContent:
    """Make a blocked device active again."""
    owned_devices.unblock(caller, request.identifier)
    return dialect.NoContent()
