"""POST /v1/device/devices/{imei}/unregister, owned-devices/{device-id}/unregister (document 002)."""

from pydantic import AliasChoices, Field

from bindery.bindings import customer
from bindery.bindings.customer import Status
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class UnregisterDevice(Request):
    """The device's identifier, as either path names it."""

    identifier: asseco.PathIdentifier = Field(validation_alias=AliasChoices("imei", "device-id"))


@operation(asseco, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: UnregisterDevice, caller: str) -> asseco.Accepted:
    """Unregister the device, active or blocked; its identifier and its nickname are free from then on."""
    identifier = customer.unregister(caller, request.identifier)
    return asseco.Accepted(id=identifier, created_record_status=Status.UNREGISTERED)
