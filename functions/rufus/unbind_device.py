"""DELETE /v0/devices/{deviceid}: unbind a device of the API key's account (the API's wider documentation)."""

from bindery.bindings import company
from bindery.dialects import rufus
from bindery.directory.keys import ApiKey
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class UnbindDevice(Request):
    """The device, by the secret that it was bound with."""

    deviceid: rufus.DeviceId


class Unbound(rufus.Success):
    """The deviceid, which authenticates nothing from now on."""

    description: str = "Device unbinded succesfully"
    deviceid: str


@operation(rufus, Access.UNBIND, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: UnbindDevice, caller: ApiKey) -> Unbound:
    """Unbind the device, a banned one too; binding it again gives the same deviceid."""
    company.unbind(caller.account, request.deviceid, used=caller.used)
    return Unbound(deviceid=request.deviceid)
