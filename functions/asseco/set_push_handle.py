"""PUT /v1/device/owned-devices/{device-id}/push-notification-handle (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, owned_devices
from bindery.asseco.owned_devices import PushPlatform
from bindery.core.errors import Reason
from bindery.http.fields import Text512, Trimmed
from bindery.http.messages import Access
from bindery.http.operation import operation

from pydantic import AliasChoices, Field


class SetPushHandle(dialect.Command):
    """A push platform, and its handle for the device."""

    identifier: dialect.PathIdentifier = Field(validation_alias="device-id")
    platform: Annotated[PushPlatform, Trimmed] = Field(validation_alias="push-platform")
    handle: Text512 = Field(validation_alias=AliasChoices("pns-handle", "push-handle"))


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID, Reason.PUSH_REGISTERED])
def handler(request: SetPushHandle, caller: str) -> dialect.NoContent:
    """Register an active device for push notifications, unless it is already registered with this handle."""
    owned_devices.set_push_handle(caller, request.identifier, request.platform, request.handle)
    return dialect.NoContent()
