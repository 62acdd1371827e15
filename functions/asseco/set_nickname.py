"""PUT /v1/device/owned-devices/{device-id}/nickname: call an owned device something else (document 002)."""

from pydantic import Field

from bindery.bindings import customer
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import Text64
from bindery.wire import Access


class SetNickname(asseco.Command):
    """The device's identifier and what it is called from now on."""

    identifier: asseco.PathIdentifier = Field(validation_alias="device-id")
    nickname: Text64 = Field(validation_alias=asseco.NICKNAME)


@operation(
    asseco,
    Access.WRITE,
    refuses=[Reason.DEVICE_UNKNOWN, Reason.NICKNAME_MISSING, Reason.NICKNAME_TAKEN, Reason.STATUS_NOT_VALID],
)
def handler(request: SetNickname, caller: str) -> asseco.NoContent:
    """Rename the device, active or blocked, unless another device of the customer has that nickname."""
    customer.rename(caller, request.identifier, request.nickname)
    return asseco.NoContent()
