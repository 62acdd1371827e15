"""PUT /v2/binding/enduserapi/setDeviceInfo: give a device another name (the API's wider documentation)."""

from pydantic import Field

from bindery.bindings import held
from bindery.dialects import quectel
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import Identifier64, Text254
from bindery.sessions import Session
from bindery.wire import Access, Query


class SetDeviceInfo(Query):
    """A device of the user's and its new name."""

    pk: Identifier64
    dk: quectel.DeviceKey
    device_name: Text254 = Field(alias="deviceName")


@operation(
    quectel,
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
def handler(request: SetDeviceInfo, caller: Session) -> quectel.Done:
    """Rename it for this user; others who hold it keep their own names for it."""
    held.rename(caller, request.pk, request.dk, request.device_name)
    return quectel.Done()
