"""POST /apv/v27/device/find/by/name (the API's wider documentation)."""

from typing import Annotated, Literal

from bindery.connectivity import access
from bindery.http.fields import OptionalText128, Trimmed
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.remoteit import device_lists, dialect


class FindByName(Body):
    """A part of the name, in any case, and the state. Without them, all services are found."""

    devicename: OptionalText128 = None
    devicestate: Annotated[Literal["all", "active", "inactive"] | None, Trimmed] = None


@operation(dialect, Access.READ)
def handler(request: FindByName, caller: dialect.Caller) -> device_lists.Devices:
    """List the services with a name, as `list/all` does."""
    user, _, _ = caller.confirm()
    found = device_lists.matching(access.list_services(user), request.devicename or "", request.devicestate or "all")
    return device_lists.reply(found, user, caller.source_ip)
