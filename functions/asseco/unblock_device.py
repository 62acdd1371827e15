"""POST /v1/device/owned-devices/{device-id}/unblock: an owned device is as good as before (document 002)."""

from pydantic import Field

from bindery.bindings import customer
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class UnblockDevice(Request):
    """The device's identifier."""

    identifier: asseco.PathIdentifier = Field(validation_alias="device-id")


@operation(asseco, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: UnblockDevice, caller: str) -> asseco.NoContent:
    """Make the blocked device active again."""
    customer.unblock(caller, request.identifier)
    return asseco.NoContent()
