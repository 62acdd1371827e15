"""GET /v2/binding/enduserapi/userDeviceList (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import OptionalIdentifier64, OptionalText254, OptionalText512, OptionalWhole
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, user_devices

from pydantic import Field


class UserDeviceList(Query):
    """A page, and filters: part of the name, comma-separated product keys, device key."""

    page: OptionalWhole = None
    page_size: OptionalWhole = Field(default=None, alias="pageSize")
    device_name: OptionalText254 = Field(default=None, alias="deviceName")
    pk_list: OptionalText512 = Field(default=None, alias="pkList")
    dk: OptionalIdentifier64 = None


@operation(dialect, Access.READ, refuses=[Reason.DEVICE_KEY_MALFORMED, Reason.NAME_TOO_LONG, Reason.LOOKUP_FAILED])
def handler(request: UserDeviceList, caller: Session) -> dialect.PageInfo:
    """List bound and shared devices, oldest binding first, ten on a page by default."""
    number, size = request.page or 1, min(request.page_size or 10, user_devices.PAGE_LIMIT)
    found = user_devices.list_devices(
        caller,
        number,
        size,
        name=request.device_name,
        product_keys=None if request.pk_list is None else [key.strip() for key in request.pk_list.split(",")],
        device_key=request.dk,
    )
    return dialect.page_of(dialect.PageInfo, [*map(dialect.device, found.devices)], found.total, number, size)
