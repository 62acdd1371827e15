"""POST /v2/binding/enduserapi/shareDevice (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import OptionalText254
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, sharing

from pydantic import Field


class ShareDevice(Query):
    """A share code, and optionally a name for the device."""

    share_code: dialect.ShareCode = Field(alias="shareCode")
    device_name: OptionalText254 = Field(default=None, alias="deviceName")


@operation(
    dialect,
    Access.WRITE,
    refuses=[
        Reason.SHARE_CODE_MISSING,
        Reason.NAME_TOO_LONG,
        Reason.LOOKUP_FAILED,
        Reason.DOMAIN_ABNORMAL,
        Reason.ALREADY_BOUND,
        Reason.SHARE_ACCEPTED,
        Reason.SHARE_UNKNOWN,
        Reason.SHARE_THROTTLED,
        Reason.DOMAIN_NOT_AUTHORISED,
        Reason.LIMIT_REACHED,
        Reason.PRODUCT_FORBIDDEN,
        Reason.DEVICE_BANNED,
        Reason.BINDING_FAILED,
    ],
)
def handler(request: ShareDevice, caller: Session) -> dialect.Done:
    """Accept the share, under the specified name or the sharer's."""
    sharing.accept(caller, request.share_code, request.device_name)
    return dialect.Done()
