"""GET /apv/v27/device/list/all (the API's wider documentation)."""

from bindery.connectivity import access
from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.remoteit import device_lists, dialect


class ListAll(Request):
    """No parameters."""


@operation(dialect, Access.READ)
def handler(request: ListAll, caller: dialect.Caller) -> device_lists.Devices:
    """List the services of the caller's devices, of those of their account and bank customer, and of those shared with
    them."""
    user, _, _ = caller.confirm()
    return device_lists.reply(access.list_services(user), user, caller.source_ip)
