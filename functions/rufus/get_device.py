"""GET /v0/devices/{deviceid}: one device of the API key's account (the API's wider documentation)."""

from bindery.bindings import company
from bindery.dialects import rufus
from bindery.directory.keys import ApiKey
from bindery.edge import operation
from bindery.faults import Reason
from bindery.wire import Access, Request


class GetDevice(Request):
    """The device, by the secret that it was bound with."""

    deviceid: rufus.DeviceId


class Details(rufus.Device):
    """A device, and what it did: nothing that reports it is part of this API yet."""

    sessions: int = 0
    passings: int = 0
    last_seen: str | None = None


class Found(rufus.Success):
    """The device."""

    result: Details


@operation(rufus, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetDevice, caller: ApiKey) -> Found:
    """Show the device, a banned one too."""
    return Found(result=Details.of(company.find(caller.account, request.deviceid)))
