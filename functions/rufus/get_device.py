"""GET /v0/devices/{deviceid} (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.rufus import company_devices, dialect


class GetDevice(Request):
    """The device's deviceid."""

    deviceid: dialect.DeviceId


class Details(dialect.Device):
    """A device. Its activity is always empty."""

    sessions: int = 0
    passings: int = 0
    last_seen: str | None = None


class Found(dialect.Success):
    """The device."""

    result: Details


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetDevice, caller: ApiKey) -> Found:
    """Return a device, even if banned."""
    return Found(result=Details.of(company_devices.find(caller.account, request.deviceid)))
