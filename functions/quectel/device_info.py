"""GET /v2/binding/enduserapi/deviceInfo: one device, by its keys or by a share code (the API's wider documentation)."""

from typing import Annotated

from pydantic import Field, Strict

from bindery.bindings import held, shares
from bindery.dialects import quectel
from bindery.edge import operation
from bindery.faults import Reason
from bindery.fields import OptionalIdentifier64, Trimmed
from bindery.sessions import Session
from bindery.wire import Access, Query


class DeviceInfo(Query):
    """A device of the user's by `pk` and `dk`, or that of a share code, which goes before them."""

    pk: OptionalIdentifier64 = None
    dk: OptionalIdentifier64 = None
    share_code: Annotated[Annotated[str, Strict()] | None, Trimmed] = Field(default=None, alias="shareCode")


@operation(
    quectel,
    Access.READ,
    refuses=[
        Reason.DEVICE_KEY_MALFORMED,
        Reason.LOOKUP_FAILED,
        Reason.IDENTIFIER_MISSING,
        Reason.DEVICE_NOT_BOUND,
        Reason.DOMAIN_ABNORMAL,
        Reason.NOT_SHARED,
        Reason.LOOK_SLOWED,
    ],
)
def handler(request: DeviceInfo, caller: Session) -> quectel.Device:
    """Show it. Before the share is accepted, a code shows neither serial number nor `authKey`."""
    if request.share_code is not None:
        return quectel.device(shares.look(caller, request.share_code))
    return quectel.device(held.find(caller, request.pk, request.dk))
