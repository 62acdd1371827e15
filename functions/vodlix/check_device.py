"""POST /api/v2/device_check (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.http.fields import DeviceIdentifier
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.vodlix import dialect, video_devices


class CheckDevice(Form):
    """The device."""

    mac_address: DeviceIdentifier


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_UNKNOWN, Reason.DEVICE_BANNED])
def handler(request: CheckDevice, caller: str) -> dialect.Known:
    """Return a device that exists and is not banned."""
    video_devices.check(request.mac_address)
    return dialect.Known(data=dialect.Device(mac_address=request.mac_address))
