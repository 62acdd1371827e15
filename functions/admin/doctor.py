"""/admin/v1/doctor: whether the installation works."""

from pydantic import BaseModel

from bindery.operators import doctor
from bindery.operators.resource import Resource

handler = Resource("doctor")


class Check(BaseModel):
    """One thing that was looked at, and what was found."""

    name: str
    healthy: bool
    detail: str


class Health(BaseModel):
    """Healthy if every check is."""

    healthy: bool
    checks: list[Check]


@handler.app.post("/admin/v1/doctor")
def run() -> Health:
    """Look at tables, indexes, secrets, issuer and clock, and try one round trip of each dialect.

    What is entered for that is removed again. This proves the registry's side; `bindery doctor` asks every route too.
    """
    checks = [Check(name=made.name, healthy=made.healthy, detail=made.detail) for made in doctor.run()]
    return Health(healthy=all(check.healthy for check in checks), checks=checks)
