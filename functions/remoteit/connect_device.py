"""POST /apv/v27/device/connect: connect to a device at its service address (document 003)."""

from pydantic import BaseModel, Field

from bindery import connections
from bindery.dialects import remoteit
from bindery.directory import addresses
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import OptionalFlag, OptionalIpAddress, ServiceAddress
from bindery.wire import Access, Body, Reply


class ConnectDevice(Body):
    """A service address, and the one client that may use the connection: the caller, if none is named."""

    deviceaddress: ServiceAddress
    wait: OptionalFlag = None
    hostip: OptionalIpAddress = None


class Connection(BaseModel):
    """Where the relay serves the connection, and for how many seconds: all text."""

    deviceaddress: str
    expirationsec: str
    proxy: str
    connectionid: str
    proxyserver: str
    proxyport: str = "443"


class Connected(Reply):
    """The connection. `wait` is shown if it was asked for."""

    connection: Connection
    succeeded: str = Field(default="true", serialization_alias="status")
    connectionid: str
    wait: bool | None


@operation(remoteit, Access.WRITE, refuses=[Reason.NOT_SHARED, Reason.DEVICE_BANNED, Reason.DEVICE_INACTIVE])
def handler(request: ConnectDevice, caller: remoteit.Caller) -> Connected:
    """Make the connection, which ends the caller's last one to the device. It is there at once: none waits for it."""
    user, key, (assigned,) = caller.confirm(addresses.key(request.deviceaddress))
    made = connections.connect(
        user,
        request.deviceaddress,
        addresses.read(assigned),
        request.hostip or caller.source_ip,
        used=key.used,
    )
    connection = Connection(
        deviceaddress=made.address,
        expirationsec=str(made.seconds_left()),
        proxy=f"https://{made.server()}",
        connectionid=made.id,
        proxyserver=made.server(),
    )
    return Connected(connection=connection, connectionid=made.id, wait=request.wait)
