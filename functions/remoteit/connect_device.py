"""POST /apv/v27/device/connect: connect to a device at its service address (document 003)."""

from pydantic import BaseModel, Field

from bindery.connectivity import leases, service_addresses
from bindery.core.errors import Reason
from bindery.http.fields import OptionalFlag, OptionalIpAddress, ServiceAddress
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.remoteit import dialect


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


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_SHARED, Reason.DEVICE_BANNED, Reason.DEVICE_INACTIVE])
def handler(request: ConnectDevice, caller: dialect.Caller) -> Connected:
    """Make the connection, which ends the caller's last one to the device. It is there at once: none waits for it."""
    user, key, (assigned,) = caller.confirm(service_addresses.key(request.deviceaddress))
    made = leases.connect(
        user,
        request.deviceaddress,
        service_addresses.read(assigned),
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
