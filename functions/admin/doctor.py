"""/admin/v1/doctor: health checks of the installation."""

from bindery.operators import doctor
from bindery.operators.resource import Resource

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


@handler.app.post("/admin/v1/doctor")
def run() -> Health:
    """Check tables, indexes, secrets, issuer and clock, and run one round trip of each API.

    Items that it creates are removed again. `bindery doctor` also tests API Gateway's routes.
    """
    checks = [Check(name=check.name, healthy=check.healthy, detail=check.detail) for check in doctor.run()]
    return Health(healthy=all(check.healthy for check in checks), checks=checks)
