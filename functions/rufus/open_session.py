"""POST /v0/sessions (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.fields import OptionalText128
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.rufus import dialect, timing
from bindery.rufus.timing_fields import Hexadecimal


class OpenSession(Body):
    """The device's deviceid, and a name for the session, which is not stored."""

    deviceid: Hexadecimal
    alias: OptionalText128 = None


class Opened(dialect.Created):
    """The session's token, with which its passings are inserted."""

    description: str = "Session inserted succesfully"
    token_session: str


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_UNKNOWN, Reason.DEVICE_BANNED])
def handler(request: OpenSession, caller: ApiKey) -> Opened:
    """Open a timing session of a device, which ends its earlier one."""
    return Opened(token_session=timing.open_session(caller.account, request.deviceid, used=caller.used))
