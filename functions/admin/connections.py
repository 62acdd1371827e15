"""/admin/v1/connections: live connections."""

from bindery.connectivity import leases, tunnels
from bindery.core.errors import Reason
from bindery.operators.resource import (
    Cursor,
    DeviceId,
    Limit,
    OptionalDeviceId,
    OptionalQueryId,
    Page,
    PathId,
    QueryClient,
    QueryPort,
    Resource,
    explained,
)
from bindery.registry import identity, items

from pydantic import BaseModel

handler = Resource("connections")


class Connection(BaseModel):
    """A connection. Only the address `client_ip` may use it."""

    id: str
    device: str
    caller: str
    account: str
    address: str
    client_ip: str
    created_at: int
    expires_at: int


class Stopped(BaseModel):
    """An ended connection."""

    device: str
    caller: str


class RelayAccess(BaseModel):
    """A client's access at a port of the relay host: the credential of a tunnel."""

    credential: str
    device: str
    caller: str
    expires_at: int


def _from_item(lease: items.Connection) -> Connection:
    return Connection.model_validate(
        {
            **lease,
            "id": lease["connection"],
            "device": identity.opaque(lease["pk"]),
            "expires_at": lease["expires_at"] * 1000,
        }
    )


@handler.app.get("/admin/v1/connections")
def list_connections(
    device: OptionalDeviceId = None, caller: OptionalQueryId = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Connection]:
    """List the live connections to a device, or of a caller."""
    key = None if device is None else identity.device_from_opaque(device)
    return Page.of(leases.list_live(limit, cursor, device=key, caller=caller), _from_item)


@handler.app.get("/admin/v1/connections/relay")
def admit_at_port(port: QueryPort, client: QueryClient) -> RelayAccess:
    """Return what the relay host needs to carry a client's connection at one of its ports."""
    with explained({Reason.NOT_FOUND: "The client has no connection at this port."}):
        lease = tunnels.at_port(port, client)
    return RelayAccess(
        credential=f"{lease['label']}.{lease['connection']}",
        device=identity.opaque(lease["pk"]),
        caller=lease["caller"],
        expires_at=lease["expires_at"] * 1000,
    )


@handler.app.delete("/admin/v1/connections/<device>/<uid>")
def stop(device: DeviceId, uid: PathId) -> Stopped:
    """End a caller's connection to a device."""
    with explained({Reason.NOT_FOUND: "The caller has no connection to the device."}):
        leases.stop(identity.device_from_opaque(device), uid)
    return Stopped(device=device, caller=uid)
