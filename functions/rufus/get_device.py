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
    """A device and its activity since it was bound."""

    passings: int
    last_seen: str | None


class Found(dialect.Success):
    """The device."""

    result: Details


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_UNKNOWN])
def handler(request: GetDevice, caller: ApiKey) -> Found:
    """Return a device, even if banned."""
    device = company_devices.find(caller.account, request.deviceid)
    return Found(
        result=Details(
            **dialect.Device.of(device).model_dump(),
            passings=device.passings,
            last_seen=None if device.last_seen is None else dialect.written(device.last_seen),
        )
    )
