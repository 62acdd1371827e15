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
    """1 if the device is connected, twice: clients read either."""

    online: int
    value: int


@operation(dialect, Access.READ, refuses=dialect.OWN_DEVICE)
def handler(request: GetDeviceOnlineStatus, caller: Session) -> OnlineStatus:
    """Return whether the device is online."""
    _, held, _ = user_devices.get_own(caller, request.pk, request.dk)
    online = int(user_devices.is_online(held))
    return OnlineStatus(online=online, value=online)
