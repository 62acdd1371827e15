"""DELETE /v2/binding/enduserapi/unbundlingDeviceDk (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices

from pydantic import Field


class UnbundlingDeviceDk(Query):
    """A device of the user."""

    pk: Identifier64
    dk: dialect.DeviceKey


class Unbound(Reply):
    """The number of users who still have the device bound."""

    binding_sum: int = Field(serialization_alias="bindingSum")


@operation(
    dialect,
    Access.UNBIND,
    refuses=[
        Reason.PRODUCT_KEY_MISSING,
        Reason.DEVICE_KEY_MISSING,
        Reason.DEVICE_KEY_MALFORMED,
        Reason.LOOKUP_FAILED,
        Reason.DEVICE_NOT_BOUND,
    ],
)
def handler(request: UnbundlingDeviceDk, caller: Session) -> Unbound:
    """End the binding with all of its shares, or give back the share."""
    return Unbound(binding_sum=user_devices.unbind(caller, request.pk, request.dk))
