"""GET /v1/device/devices/{imei}, GET /v1/device/owned-devices/{device-id}: one owned device (document 002)."""

from pydantic import AliasChoices, Field

from bindery.bindings import customer
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class GetDevice(Request):
    """The device's identifier, as either path names it."""

    identifier: asseco.PathIdentifier = Field(validation_alias=AliasChoices("imei", "device-id"))


@operation(asseco, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetDevice, caller: str) -> asseco.Device:
    """Show the customer's device, an unregistered one too until someone registers it anew."""
    return asseco.owned(customer.find(caller, request.identifier))
