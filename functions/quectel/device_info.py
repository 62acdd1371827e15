"""GET /v2/binding/enduserapi/deviceInfo (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import OptionalIdentifier64, Trimmed
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, sharing, user_devices

from pydantic import Field, Strict


class DeviceInfo(Query):
    """A device of the user, or that of a share code, which takes precedence."""

    pk: OptionalIdentifier64 = None
    dk: OptionalIdentifier64 = None
    share_code: Annotated[Annotated[str, Strict()] | None, Trimmed] = Field(default=None, alias="shareCode")


@operation(
    dialect,
    Access.READ,
    refuses=[
        Reason.DEVICE_KEY_MALFORMED,
        Reason.LOOKUP_FAILED,
        Reason.IDENTIFIER_MISSING,
        Reason.DEVICE_NOT_BOUND,
        Reason.DOMAIN_ABNORMAL,
        Reason.NOT_SHARED,
        Reason.LOOK_THROTTLED,
    ],
)
def handler(request: DeviceInfo, caller: Session) -> dialect.Device:
    """Return the device. Its serial number and `authKey` are empty until the share is accepted."""
    if request.share_code is not None:
        return dialect.device(sharing.look(caller, request.share_code))
    return dialect.device(user_devices.find(caller, request.pk, request.dk))
