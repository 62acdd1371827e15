"""POST /v1/device/owned-devices (document 002)."""

from typing import Annotated

from bindery.asseco import dialect, owned_devices
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform, Status
from bindery.core.errors import Reason
from bindery.http.fields import DeviceSegment, OptionalText128, OptionalText512, Text64, Text128, Trimmed
from bindery.http.messages import Access
from bindery.http.operation import operation

from pydantic import AliasChoices, Field


class RegisterOwnedDevice(dialect.Command):
    """A device. Its identifier is an IMEI or the id of an installed app."""

    identifier: DeviceSegment = Field(validation_alias=AliasChoices(*dialect.IDENTIFIER))
    nickname: Text64
    operating_system: Text128 = Field(validation_alias="operating-system")
    brand_name: OptionalText128 = Field(None, validation_alias="brand-name")
    model_name: OptionalText128 = Field(None, validation_alias="model-name")
    kind: Annotated[IdentifierKind | None, Trimmed] = Field(None, validation_alias="external-device-id-kind")
    push_platform: Annotated[PushPlatform | None, Trimmed] = Field(None, validation_alias="push-platform")
    push_handle: OptionalText512 = Field(None, validation_alias="push-handle")


@operation(
    dialect,
    Access.WRITE,
    refuses=[
        Reason.IDENTIFIER_MISSING,
        Reason.NICKNAME_MISSING,
        Reason.OPERATING_SYSTEM_MISSING,
        Reason.DEVICE_BANNED,
        Reason.IDENTIFIER_TAKEN,
        Reason.NICKNAME_TAKEN,
    ],
)
def handler(request: RegisterOwnedDevice, caller: str) -> dialect.Created:
    """Register an unregistered device, under a nickname that is new to the customer."""
    owned_devices.register(
        caller,
        request.identifier,
        kind=request.kind or IdentifierKind.IMEI,
        nickname=request.nickname,
        operating_system=request.operating_system,
        brand_name=request.brand_name,
        model_name=request.model_name,
        push_platform=request.push_platform,
        push_handle=request.push_handle,
    )
    return dialect.Created(id=request.identifier, created_record_status=Status.ACTIVE)
