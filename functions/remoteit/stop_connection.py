"""POST /apv/v27/device/connect/stop: end a connection to a device (document 003 and the API's wider documentation)."""

from pydantic import Field

from bindery.connectivity import leases, service_addresses
from bindery.core.errors import Reason
from bindery.http.fields import KnownConnectionId, KnownServiceAddress
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.remoteit import dialect


class StopConnection(Body):
    """The service address and the id that were answered when the connection was made."""

    deviceaddress: KnownServiceAddress = ""
    connectionid: KnownConnectionId = ""


class Stopped(Reply):
    """The connection that was ended."""

    succeeded: str = Field(default="true", serialization_alias="status")
    connectionid: str


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_FOUND])
def handler(request: StopConnection, caller: dialect.Caller) -> Stopped:
    """End the one connection of the caller that is named, and no other."""
    user, _, (assigned,) = caller.confirm(service_addresses.key(request.deviceaddress))
    leases.stop_one(user, service_addresses.read(assigned), request.connectionid)
    return Stopped(connectionid=request.connectionid)
