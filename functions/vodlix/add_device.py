"""POST /api/v2/device (document 004)."""

from bindery.core.errors import Reason
from bindery.http.fields import DeviceIdentifier, Text128
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.vodlix import dialect, video_devices


class AddDevice(Form):
    """A device as it describes itself."""

    mac_address: DeviceIdentifier
    device_os: Text128
    device_version: Text128
    device_type: Text128
    app_version: Text128
    app_name: Text128


@operation(dialect, Access.WRITE, refuses=[Reason.REGISTRATION_DISABLED, Reason.DEVICE_BANNED])
def handler(request: AddDevice, caller: str) -> dialect.Known:
    """Add a device. Adding it again replaces all its facts."""
    video_devices.add(**request.model_dump())
    return dialect.Known(data=dialect.Device(mac_address=request.mac_address))
