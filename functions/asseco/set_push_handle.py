"""PUT /v1/device/owned-devices/{device-id}/push-notification-handle: where to push to (document 002)."""

from typing import Annotated

from pydantic import AliasChoices, Field

from bindery.bindings import customer
from bindery.bindings.customer import PushPlatform
from bindery.dialects import asseco
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import Text512, Trimmed
from bindery.wire import Access


class SetPushHandle(asseco.Command):
    """The device's identifier, and the handle that its platform gave it."""

    identifier: asseco.PathIdentifier = Field(validation_alias="device-id")
    platform: Annotated[PushPlatform, Trimmed] = Field(validation_alias="push-platform")
    handle: Text512 = Field(validation_alias=AliasChoices("pns-handle", "push-handle"))


@operation(asseco, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.STATUS_NOT_VALID, Reason.PUSH_REGISTERED])
def handler(request: SetPushHandle, caller: str) -> asseco.NoContent:
    """Register the active device for push notifications, unless it is with this very handle."""
    customer.set_push_handle(caller, request.identifier, request.platform, request.handle)
    return asseco.NoContent()
