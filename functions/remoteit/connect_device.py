"""POST /apv/v27/device/connect (document 003)."""

from bindery.connectivity import leases
from bindery.connectivity.service_addresses import Assigned
from bindery.core.errors import Reason
from bindery.http.fields import OptionalIpAddress, OptionalSwitch, ServiceAddress
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.registry import items
from bindery.remoteit import dialect

from pydantic import BaseModel, ConfigDict, Field


class ConnectDevice(Body):
    """A service address, and the only client that may connect, by default the caller."""

    deviceaddress: ServiceAddress
    wait: OptionalSwitch = None
    hostip: OptionalIpAddress = None


class Connection(BaseModel):
    """The connection at the relay, all as text."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    deviceaddress: str
    expirationsec: str
    proxy: str
    connectionid: str
    proxyserver: str
    proxyport: str
    requested: str
    requested_at: str = Field(serialization_alias="requestedAt")
    status: str = "running"
    imageintervalms: str = "1000"


class Connected(Reply):
    """The connection. `wait` is present if the request has it."""

    connection: Connection
    succeeded: str = Field(default="true", serialization_alias="status")
    connectionid: str
    wait: bool | None


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_SHARED, Reason.DEVICE_BANNED, Reason.DEVICE_INACTIVE])
def handler(request: ConnectDevice, caller: dialect.Caller) -> Connected:
    """Open a connection and end the caller's previous one to the device. `wait` has no effect."""
    address = items.service_address(request.deviceaddress)
    user, key, found = caller.confirm(address)
    made = leases.connect(
        user,
        request.deviceaddress,
        Assigned.from_item(found[address]),
        request.hostip or caller.source_ip,
        used=key.used,
    )
    server, port = made.server()
    connection = Connection(
        deviceaddress=made.address,
        expirationsec=str(made.seconds_left()),
        proxy=made.proxy(),
        connectionid=made.id,
        proxyserver=server,
        proxyport=str(port),
        requested=dialect.written_in_english(made.created_at),
        requested_at=dialect.written(made.created_at),
    )
    return Connected(connection=connection, connectionid=made.id, wait=request.wait)
