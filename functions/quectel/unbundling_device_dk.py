"""DELETE /v2/binding/enduserapi/unbundlingDeviceDk: let go of a device, whether bound or shared.

From the API's wider documentation.
"""

from pydantic import Field

from bindery.bindings import held
from bindery.dialects import quectel
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import Identifier64
from bindery.sessions import Session
from bindery.wire import Access, Query, Reply


class UnbundlingDeviceDk(Query):
    """A device of the user's."""

    pk: Identifier64
    dk: quectel.DeviceKey


class Unbound(Reply):
    """How many users have bound the device afterwards."""

    binding_sum: int = Field(serialization_alias="bindingSum")


@operation(
    quectel,
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
    return Unbound(binding_sum=held.unbind(caller, request.pk, request.dk))
