"""POST /v0/devices: bind a device to the company account of the API key (document 000)."""

from bindery.bindings import company
from bindery.dialects import rufus
from bindery.directory.keys import ApiKey
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import DeviceIdentifier, Identifier128, OptionalText128
from bindery.wire import Access, Body


class BindDevice(Body):
    """A device as its company names it."""

    model: Identifier128
    serial_number: DeviceIdentifier
    alias: OptionalText128 = None
    firmware: OptionalText128 = None
    type: OptionalText128 = None


class Bound(rufus.Created):
    """The deviceid: the secret by which the device authenticates, 64 upper-case hex digits."""

    description: str = "Device binded succesfully"
    deviceid: str


@operation(rufus, Access.WRITE, refuses=[Reason.DEVICE_BANNED])
def handler(request: BindDevice, caller: ApiKey) -> Bound:
    """Bind the device, or bind it again: then the answer is the same and what is given replaces what was stored."""
    deviceid = company.bind(
        caller.account,
        request.model,
        request.serial_number,
        alias=request.alias,
        firmware=request.firmware,
        kind=request.type,
        used=caller.used,
    )
    return Bound(deviceid=deviceid)
