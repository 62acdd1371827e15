"""POST /v2/binding/enduserapi/bindDeviceSn (document 001)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import (
    DeviceIdentifier,
    Identifier64,
    OptionalBits4,
    OptionalFlag,
    OptionalIdentifier64,
    OptionalText254,
)
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import binding, claim_codes, dialect

from pydantic import BeforeValidator, Field, WithJsonSchema

ClaimCode = Annotated[
    str | None,
    BeforeValidator(claim_codes.parse),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": "Claim code on the device's label, for products that require one. It can also follow the "
            "serial number and a hyphen in `sn`. Ignored for other products. Not in the vendor's document.",
        }
    ),
]


class BindDeviceSn(Query):
    """A manufactured device; in home mode, also a family and one of its rooms."""

    pk: Identifier64
    sn: DeviceIdentifier
    capabilities: OptionalBits4 = Field(default=None, alias="capabilitiesBitmask")
    device_name: OptionalText254 = Field(default=None, alias="deviceName")
    fid: OptionalIdentifier64 = None
    frid: OptionalIdentifier64 = None
    common: OptionalFlag = Field(default=None, alias="isCommonDevice")
    claim_code: ClaimCode = Field(default=None, alias="claimCode")


class Binding(Reply):
    """The bound device and its keys."""

    auth_key: str = Field(serialization_alias="authKey")
    dk: str
    module_type: str = Field(serialization_alias="moduleType")
    pk: str


@operation(
    dialect,
    Access.WRITE,
    refuses=[Reason.PRODUCT_KEY_MISSING, Reason.SERIAL_MISSING, Reason.NAME_TOO_LONG, *binding.REFUSES],
)
def handler(request: BindDeviceSn, caller: Session) -> Binding:
    """Bind the device; in home mode, as a common device unless `isCommonDevice` is false."""
    bound = binding.bind(
        caller,
        request.pk,
        request.sn,
        capabilities=request.capabilities,
        name=request.device_name,
        fid=request.fid,
        frid=request.frid,
        common=request.common is not False,
        claim_code=request.claim_code,
    )
    return Binding(auth_key=bound.auth_key, dk=bound.device_key, module_type=bound.module_type, pk=bound.product_key)
