"""POST /api/v2/device: a player adds itself, or tells what is new about it (document 004)."""

from bindery import players
from bindery.dialects import vodlix
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import DeviceIdentifier, Text128
from bindery.wire import Access, Form


class AddDevice(Form):
    """A player as it describes itself."""

    mac_address: DeviceIdentifier
    device_os: Text128
    device_version: Text128
    device_type: Text128
    app_version: Text128
    app_name: Text128


@operation(vodlix, Access.WRITE, refuses=[Reason.REGISTRATION_DISABLED, Reason.DEVICE_BANNED])
def handler(request: AddDevice, caller: str) -> vodlix.Known:
    """Add the player; adding it again replaces what was known of it."""
    players.add(**request.model_dump())
    return vodlix.Known(data=vodlix.Player(mac_address=request.mac_address))
