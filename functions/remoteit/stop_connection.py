"""POST /apv/v27/device/connect/stop (document 003 and the API's wider documentation)."""

from bindery.connectivity import leases
from bindery.connectivity.service_addresses import Assigned
from bindery.core.errors import Reason
from bindery.http.fields import KnownConnectionId, KnownServiceAddress
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.registry import items
from bindery.remoteit import dialect

from pydantic import Field


class StopConnection(Body):
    """The connection, as returned when it was opened."""

    deviceaddress: KnownServiceAddress = ""
    connectionid: KnownConnectionId = ""


class Stopped(Reply):
    """The ended connection."""

    succeeded: str = Field(default="true", serialization_alias="status")
    connectionid: str


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_FOUND])
def handler(request: StopConnection, caller: dialect.Caller) -> Stopped:
    """End the caller's connection with this id."""
    address = items.service_address(request.deviceaddress)
    user, _, found = caller.confirm(address)
    leases.stop_one(user, Assigned.from_item(found[address]), request.connectionid)
    return Stopped(connectionid=request.connectionid)
