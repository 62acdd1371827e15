"""PUT /v2/binding/enduserapi/setDeviceInfo (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64, Text254
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices

from pydantic import Field


class SetDeviceInfo(Query):
    """A device of the user, and its new name."""

    pk: Identifier64
    dk: dialect.DeviceKey
    device_name: Text254 = Field(alias="deviceName")


@operation(
    dialect,
    Access.WRITE,
    refuses=[
        Reason.PRODUCT_KEY_MISSING,
        Reason.DEVICE_KEY_MISSING,
        Reason.DEVICE_KEY_MALFORMED,
        Reason.NAME_MISSING,
        Reason.NAME_TOO_LONG,
        Reason.LOOKUP_FAILED,
        Reason.DEVICE_NOT_BOUND,
    ],
)
def handler(request: SetDeviceInfo, caller: Session) -> dialect.Done:
    """Rename the device for this user only."""
    user_devices.rename(caller, request.pk, request.dk, request.device_name)
    return dialect.Done()
