"""POST /v1/device/devices/{imei}/unregister, owned-devices/{device-id}/unregister (document 002)."""

from bindery.asseco import dialect, owned_devices
from bindery.asseco.owned_devices import Status
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import AliasChoices, Field


class UnregisterDevice(Request):
    """The device's identifier."""

    identifier: dialect.PathIdentifier = Field(validation_alias=AliasChoices("imei", "device-id"))


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID])
def handler(request: UnregisterDevice, caller: str) -> dialect.Accepted:
    """Unregister an active or blocked device, which frees its identifier and its nickname."""
    identifier = owned_devices.unregister(caller, request.identifier)
    return dialect.Accepted(id=identifier, created_record_status=Status.UNREGISTERED)
