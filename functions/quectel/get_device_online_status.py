"""GET /v2/binding/enduserapi/getDeviceOnlineStatus (the API's wider documentation)."""

from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices


class GetDeviceOnlineStatus(Query):
    """A device of the user."""

    pk: Identifier64
    dk: dialect.DeviceKey


class OnlineStatus(Reply):
    """The same value twice: clients read either. Always 0, offline: devices do not report to this service."""

    online: int = 0
    value: int = 0


@operation(dialect, Access.READ, refuses=dialect.OWN_DEVICE)
def handler(request: GetDeviceOnlineStatus, caller: Session) -> OnlineStatus:
    """Return whether the device is online."""
    user_devices.get_own(caller, request.pk, request.dk)
    return OnlineStatus()
