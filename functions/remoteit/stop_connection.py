"""POST /apv/v27/device/connect/stop: end a connection to a device (document 003 and the API's wider documentation)."""

from pydantic import Field

from bindery import connections
from bindery.dialects import remoteit
from bindery.directory import addresses
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import KnownConnectionId, KnownServiceAddress
from bindery.wire import Access, Body, Reply


class StopConnection(Body):
    """The service address and the id that were answered when the connection was made."""

    deviceaddress: KnownServiceAddress = ""
    connectionid: KnownConnectionId = ""


class Stopped(Reply):
    """The connection that was ended."""

    succeeded: str = Field(default="true", serialization_alias="status")
    connectionid: str


@operation(remoteit, Access.WRITE, refuses=[Reason.NOT_FOUND])
def handler(request: StopConnection, caller: remoteit.Caller) -> Stopped:
    """End the one connection of the caller that is named, and no other."""
    user, _, (assigned,) = caller.confirm(addresses.key(request.deviceaddress))
    connections.stop_one(user, addresses.read(assigned), request.connectionid)
    return Stopped(connectionid=request.connectionid)
