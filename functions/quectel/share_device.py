"""POST /v2/binding/enduserapi/shareDevice: accept a share of a device (the API's wider documentation)."""

from pydantic import Field

from bindery.bindings import shares
from bindery.dialects import quectel
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import OptionalText254
from bindery.sessions import Session
from bindery.wire import Access, Query


class ShareDevice(Query):
    """A share code, and what the user wants to call the device."""

    share_code: quectel.ShareCode = Field(alias="shareCode")
    device_name: OptionalText254 = Field(default=None, alias="deviceName")


@operation(
    quectel,
    Access.WRITE,
    refuses=[
        Reason.SHARE_CODE_MISSING,
        Reason.NAME_TOO_LONG,
        Reason.LOOKUP_FAILED,
        Reason.DOMAIN_ABNORMAL,
        Reason.ALREADY_BOUND,
        Reason.SHARE_ACCEPTED,
        Reason.SHARE_UNKNOWN,
        Reason.SHARE_SLOWED,
        Reason.DOMAIN_NOT_AUTHORISED,
        Reason.LIMIT_REACHED,
        Reason.PRODUCT_FORBIDDEN,
        Reason.DEVICE_BANNED,
        Reason.BINDING_FAILED,
    ],
)
def handler(request: ShareDevice, caller: Session) -> quectel.Done:
    """Accept it, under that name or the sharer's."""
    shares.accept(caller, request.share_code, request.device_name)
    return quectel.Done()
