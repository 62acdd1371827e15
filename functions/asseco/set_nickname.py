"""PUT /v1/device/owned-devices/{device-id}/nickname (document 002)."""

from bindery.asseco import dialect, owned_devices
from bindery.core.errors import Reason
from bindery.http.fields import Text64
from bindery.http.messages import Access
from bindery.http.operation import operation

from pydantic import Field


class SetNickname(dialect.Command):
    """The device's identifier and its new nickname."""

    identifier: dialect.PathIdentifier = Field(validation_alias="device-id")
    nickname: Text64 = Field(validation_alias=dialect.NICKNAME)


@operation(
    dialect,
    Access.WRITE,
    refuses=[Reason.DEVICE_UNKNOWN, Reason.NICKNAME_MISSING, Reason.NICKNAME_TAKEN, Reason.STATUS_NOT_VALID],
)
def handler(request: SetNickname, caller: str) -> dialect.NoContent:
    """Rename an active or blocked device. The customer's other devices must not use the nickname."""
    owned_devices.rename(caller, request.identifier, request.nickname)
    return dialect.NoContent()
