"""DELETE /v0/devices/{deviceid} (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.rufus import company_devices, dialect


class UnbindDevice(Request):
    """The device's deviceid."""

    deviceid: dialect.DeviceId


class Unbound(dialect.Success):
    """The deviceid, which no longer authenticates the device."""

    description: str = "Device unbinded succesfully"
    deviceid: str


@operation(dialect, Access.UNBIND, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: UnbindDevice, caller: ApiKey) -> Unbound:
    """Unbind a device, even if banned. Binding it again returns the same deviceid."""
    company_devices.unbind(caller.account, request.deviceid, used=caller.used)
    return Unbound(deviceid=request.deviceid)
