"""DELETE /v0/devices/{deviceid}: unbind a device of the API key's account (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.rufus import company_devices, dialect


class UnbindDevice(Request):
    """The device, by the secret that it was bound with."""

    deviceid: dialect.DeviceId


class Unbound(dialect.Success):
    """The deviceid, which authenticates nothing from now on."""

    description: str = "Device unbinded succesfully"
    deviceid: str


@operation(dialect, Access.UNBIND, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: UnbindDevice, caller: ApiKey) -> Unbound:
    """Unbind the device, a banned one too; binding it again gives the same deviceid."""
    company_devices.unbind(caller.account, request.deviceid, used=caller.used)
    return Unbound(deviceid=request.deviceid)
