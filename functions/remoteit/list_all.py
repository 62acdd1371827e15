"""GET /apv/v27/device/list/all (the API's wider documentation)."""

from bindery.connectivity import access
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect

from pydantic import BaseModel, Field


class ListAll(Request):
    """No parameters."""


class Device(BaseModel):
    """A device with a service address. Unknown members are empty."""

    deviceaddress: str
    devicealias: str
    devicestate: str
    devicetype: str
    devicelastip: str = ""
    lastcontacted: str = ""
    lastinternalip: str = ""
    createdate: str
    ownerusername: str
    servicetitle: str = ""
    shared: str
    webenabled: str = ""
    weburi: str = ""
    localurl: str = ""
    georegion: str = ""


class Devices(Reply):
    """The devices. Do not cache them: access can change at any time."""

    succeeded: str = Field(default="true", serialization_alias="status")
    devices: list[Device]
    cache_expires: int = 0
    length: int


@operation(dialect, Access.READ)
def handler(request: ListAll, caller: dialect.Caller) -> Devices:
    """List the devices of the caller, their account and bank customer, and those shared with them."""
    user, _, _ = caller.confirm()
    devices = [_device(listed) for listed in access.list_devices(user)]
    return Devices(devices=devices, length=len(devices))


def _device(listed: access.Listed) -> Device:
    return Device(
        deviceaddress=listed.address,
        devicealias=listed.alias or listed.address,
        devicestate="active" if listed.active else "inactive",
        devicetype=listed.kind or "",
        createdate=dialect.written(listed.bound_at),
        ownerusername=listed.owner or "",
        shared="shared-from" if listed.shared else "not-shared",
    )
