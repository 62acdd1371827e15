"""GET /v1/device/issued-devices/{device-id}: one card or token that the bank issued (document 002)."""

from pydantic import Field

from bindery.dialects import asseco
from bindery.directory import issued_devices
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class GetIssuedDevice(Request):
    """The device's id."""

    device_id: asseco.PathIdentifier = Field(validation_alias="device-id")


@operation(asseco, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetIssuedDevice, caller: str) -> asseco.Issued:
    """Show the customer's issued device with the status that it has today."""
    return asseco.issued(issued_devices.find(caller, request.device_id))
