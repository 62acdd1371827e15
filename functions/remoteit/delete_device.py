"""POST /apv/v27/developer/device/delete/registered/{address} (the API's wider documentation)."""

from bindery.connectivity import access
from bindery.connectivity.service_addresses import Assigned
from bindery.core.errors import Reason
from bindery.http.fields import KnownServiceAddress
from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.registry import items
from bindery.remoteit import dialect


class DeleteDevice(Request):
    """A service address."""

    address: KnownServiceAddress = ""


class Deleted(dialect.Done):
    """The service is deleted."""

    reason: str = ""


@operation(dialect, Access.WRITE, refuses=[Reason.SERVICE_UNKNOWN])
def handler(request: DeleteDevice, caller: dialect.Caller) -> Deleted:
    """Remove a service from a device, which stays bound. Only an operator can assign it an address again."""
    address = items.service_address(request.address)
    user, key, found = caller.confirm(address)
    access.delete_service(user, request.address, Assigned.from_item(found[address]), used=key.used)
    return Deleted()
