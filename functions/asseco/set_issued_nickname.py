"""PUT /v1/device/issued-devices/{device-id}/nickname (document 002)."""

from bindery.asseco import dialect, issued_devices
from bindery.asseco.issued_devices import Nickname
from bindery.core.errors import Reason
from bindery.http.messages import Access
from bindery.http.operation import operation

from pydantic import Field


class SetIssuedNickname(dialect.Command):
    """The new nickname, which must not contain a card number."""

    device_id: dialect.PathIdentifier = Field(validation_alias="device-id")
    nickname: Nickname = Field(validation_alias=dialect.NICKNAME)


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.NICKNAME_MISSING])
def handler(request: SetIssuedNickname, caller: str) -> dialect.NoContent:
    """Set the nickname of a card or token. Updates by the bank keep it."""
    issued_devices.rename(caller, request.device_id, request.nickname)
    return dialect.NoContent()
