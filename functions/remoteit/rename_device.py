"""POST /apv/v27/device/name (the API's wider documentation)."""

from bindery.connectivity import access
from bindery.connectivity.service_addresses import Assigned
from bindery.core.errors import Reason
from bindery.http.fields import ServiceAddress, Text128
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.registry import items
from bindery.remoteit import dialect


class RenameDevice(Body):
    """A service address and the service's new name."""

    deviceaddress: ServiceAddress
    devicealias: Text128


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_SHARED])
def handler(request: RenameDevice, caller: dialect.Caller) -> dialect.Done:
    """Name a service for the caller. Other users and APIs keep their own name of the device."""
    address = items.service_address(request.deviceaddress)
    user, key, found = caller.confirm(address)
    assigned = Assigned.from_item(found[address])
    access.rename(user, request.deviceaddress, assigned, request.devicealias, used=key.used)
    return dialect.Done()
