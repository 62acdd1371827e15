"""GET /apv/v27/device/count (the API's wider documentation)."""

from bindery.connectivity import access
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect

from pydantic import Field


class CountDevices(Request):
    """No parameters."""


class Counts(Reply):
    """Numbers of services. All that the user owns are registered and activated."""

    succeeded: str = Field(default="true", serialization_alias="status")
    mine: int
    active: int
    friends: int
    services: int
    preregistered: int = 0
    registered: int
    activated: int


@operation(dialect, Access.READ)
def handler(request: CountDevices, caller: dialect.Caller) -> Counts:
    """Count the services that `list/all` lists."""
    user, _, _ = caller.confirm()
    listed = access.list_services(user)
    friends = sum(service.shared for service in listed)
    mine = len(listed) - friends
    return Counts(
        mine=mine,
        active=sum(service.active for service in listed),
        friends=friends,
        services=len(listed),
        registered=mine,
        activated=mine,
    )
