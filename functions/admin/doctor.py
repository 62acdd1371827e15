"""/admin/v1/doctor: health checks of the installation."""

from bindery.core.errors import Reason
from bindery.operators import doctor
from bindery.operators.resource import PathId, Resource, explained

from pydantic import BaseModel

handler = Resource("doctor")


class Check(BaseModel):
    """Result of a check."""

    name: str
    healthy: bool
    detail: str


class Health(BaseModel):
    """Results of all checks."""

    healthy: bool
    checks: list[Check]


class LinkTest(BaseModel):
    """A temporary device and a connection to it, with the credentials of an agent and of a tunnel."""

    run: str
    url: str
    device_key: str
    address: str
    credential: str
    expires_at: int


class Removed(BaseModel):
    """A run whose device and connection were removed."""

    run: str


@handler.app.post("/admin/v1/doctor")
def run() -> Health:
    """Check tables, indexes, secrets, issuer and clock, and run one round trip of each API.

    Items that it creates are removed again. `bindery doctor` also tests API Gateway's routes.
    """
    checks = [Check(name=check.name, healthy=check.healthy, detail=check.detail) for check in doctor.run()]
    return Health(healthy=all(check.healthy for check in checks), checks=checks)


@handler.app.post("/admin/v1/doctor/link")
def open_link() -> LinkTest:
    """Create a temporary device, and a connection to it, for a test of the device link.

    Remove them after the test. Otherwise the next check does, after a minute. `run` is also the session of the tunnel.
    """
    made = doctor.open_link()
    return LinkTest(
        run=made.run,
        url=made.url,
        device_key=made.device_key,
        address=made.address,
        credential=made.credential,
        expires_at=made.expires_at * 1000,
    )


@handler.app.delete("/admin/v1/doctor/link/<run>")
def close_link(run: PathId) -> Removed:
    """Remove a temporary device and the connection to it."""
    with explained({Reason.NOT_FOUND: "The run has ended."}):
        doctor.close_link(run)
    return Removed(run=run)
