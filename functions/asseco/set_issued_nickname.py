"""PUT /v1/device/issued-devices/{device-id}/nickname: call a card or token something (document 002)."""

from pydantic import Field

from bindery.dialects import asseco
from bindery.directory import issued_devices
from bindery.directory.issued_devices import Nickname
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access


class SetIssuedNickname(asseco.Command):
    """The device's id and what it is called from now on: no card number."""

    device_id: asseco.PathIdentifier = Field(validation_alias="device-id")
    nickname: Nickname = Field(validation_alias=asseco.NICKNAME)


@operation(asseco, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.NICKNAME_MISSING])
def handler(request: SetIssuedNickname, caller: str) -> asseco.NoContent:
    """Give the customer's issued device a nickname, which it keeps whatever the bank enters of it."""
    issued_devices.rename(caller, request.device_id, request.nickname)
    return asseco.NoContent()
