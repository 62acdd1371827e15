"""/admin/v1/connections: the live leases of a device or of a caller."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bindery.connectivity import leases
from bindery.core.errors import Reason
from bindery.operators.resource import (
    Cursor,
    DeviceId,
    Limit,
    OptionalDeviceId,
    OptionalQueryId,
    Page,
    PathId,
    Resource,
    explained,
)
from bindery.registry import identity

handler = Resource("connections")


class Connection(BaseModel):
    """A lease. `client_ip` is the client that may use it. The name under which the relay serves it is not shown."""

    id: str
    device: str
    caller: str
    account: str
    address: str
    client_ip: str
    created_at: int
    expires_at: int


class Stopped(BaseModel):
    """A connection that was ended."""

    device: str
    caller: str


def _read(lease: Mapping[str, Any]) -> Connection:
    return Connection.model_validate(
        {
            **lease,
            "id": lease["connection"],
            "device": identity.opaque(lease["pk"]),
            "expires_at": lease["expires_at"] * 1000,
        }
    )


@handler.app.get("/admin/v1/connections")
def page(
    device: OptionalDeviceId = None, caller: OptionalQueryId = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Connection]:
    """List the live connections to a device, or those of a caller."""
    key = None if device is None else identity.device_from_opaque(device)
    found = leases.live(limit, cursor, device=key, caller=caller)
    return Page(items=[_read(lease) for lease in found.items], next=found.cursor)


@handler.app.delete("/admin/v1/connections/<device>/<uid>")
def stop(device: DeviceId, uid: PathId) -> Stopped:
    """End a caller's connection to a device: nobody is admitted to it any more."""
    with explained({Reason.NOT_FOUND: "The caller has no connection to the device."}):
        leases.stop(identity.device_from_opaque(device), uid)
    return Stopped(device=device, caller=uid)
