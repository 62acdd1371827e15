"""GET /v2/binding/enduserapi/getDeviceBindingInfo (the API's wider documentation)."""

from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices


class GetDeviceBindingInfo(Query):
    """A device of the user."""

    pk: Identifier64
    dk: dialect.DeviceKey


@operation(dialect, Access.READ, refuses=dialect.OWN_DEVICE)
def handler(request: GetDeviceBindingInfo, caller: Session) -> dialect.Device:
    """Return the binding or share in the format of `deviceInfo`."""
    return dialect.device(user_devices.find(caller, request.pk, request.dk))
