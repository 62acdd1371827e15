"""POST /api/v2/device_check: whether a player is known and not banned (the API's wider documentation)."""

from bindery import players
from bindery.dialects import vodlix
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import DeviceIdentifier
from bindery.wire import Access, Form


class CheckDevice(Form):
    """The player."""

    mac_address: DeviceIdentifier


@operation(vodlix, Access.READ, refuses=[Reason.DEVICE_UNKNOWN, Reason.DEVICE_BANNED])
def handler(request: CheckDevice, caller: str) -> vodlix.Known:
    """Answer as when the player was added. Players ask every few minutes."""
    players.check(request.mac_address)
    return vodlix.Known(data=vodlix.Player(mac_address=request.mac_address))
