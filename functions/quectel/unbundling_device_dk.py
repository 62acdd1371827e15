"""DELETE /v2/binding/enduserapi/unbundlingDeviceDk: let go of a device, whether bound or shared.

From the API's wider documentation.
"""

from pydantic import Field

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices


class UnbundlingDeviceDk(Query):
    """A device of the user's."""

    pk: Identifier64
    dk: dialect.DeviceKey


class Unbound(Reply):
    """How many users have bound the device afterwards."""

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
    """End a binding with all of its shares, or give a share back."""
    return Unbound(binding_sum=user_devices.unbind(caller, request.pk, request.dk))
