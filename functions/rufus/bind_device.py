"""POST /v0/devices (document 000)."""

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.fields import DeviceIdentifier, Identifier128, OptionalText128
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.rufus import company_devices, dialect


class BindDevice(Body):
    """A device as the company describes it."""

    model: Identifier128
    serial_number: DeviceIdentifier
    alias: OptionalText128 = None
    firmware: OptionalText128 = None
    type: OptionalText128 = None


class Bound(dialect.Created):
    """The deviceid: the device's secret credential, 64 upper-case hex digits."""

    description: str = "Device binded succesfully"
    deviceid: str


@operation(dialect, Access.WRITE, refuses=[Reason.DEVICE_BANNED])
def handler(request: BindDevice, caller: ApiKey) -> Bound:
    """Bind a device. Binding it again returns the same deviceid and replaces the specified facts."""
    deviceid = company_devices.bind(
        caller.account,
        request.model,
        request.serial_number,
        alias=request.alias,
        firmware=request.firmware,
        kind=request.type,
        parts=caller.parts,
        used=caller.used,
    )
    return Bound(deviceid=deviceid)
