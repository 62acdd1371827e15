"""POST /v1/device/owned-devices/{device-id}/block: an owned device is good for nothing for now (document 002)."""

from pydantic import Field

from bindery.bindings import customer
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class BlockDevice(Request):
    """The device's identifier."""

    identifier: asseco.PathIdentifier = Field(validation_alias="device-id")


@operation(asseco, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: BlockDevice, caller: str) -> asseco.NoContent:
    """Block the active device; its connections end, and its nickname stays its own."""
    customer.block(caller, request.identifier)
    return asseco.NoContent()
