"""POST /v1/device/owned-devices/{device-id}/block (document 002)."""

from bindery.asseco import dialect, owned_devices
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import Field


class BlockDevice(Request):
    """The device's identifier."""

    identifier: dialect.PathIdentifier = Field(validation_alias="device-id")


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: BlockDevice, caller: str) -> dialect.NoContent:
    """Block an active device. Its connections end; its nickname stays in use."""
    owned_devices.block(caller, request.identifier)
    return dialect.NoContent()
