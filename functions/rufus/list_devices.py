"""GET /v0/devices (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason, Refused
from bindery.directory.api_keys import ApiKey
from bindery.http.fields import digits
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.rufus import device_lists, dialect

from pydantic import BaseModel, Field, Strict, StringConstraints


class ListDevices(Query):
    """A page by number or, however long the list is, by cursor, and its size."""

    page: Annotated[int, Strict(), Field(ge=1, le=999_999_999_999_999), digits(blank=1)] = 1
    limit: Annotated[int, Strict(), Field(ge=1, le=5000), digits(blank=100)] = 100
    cursor: Annotated[str, Strict(), StringConstraints(strip_whitespace=True, max_length=1024)] | None = Field(
        None, description="Bindery's own: empty for the first page, then `cursor` of the previous one. Not with `page`."
    )


class Pagination(BaseModel):
    """Position in the whole list, which has `total` devices."""

    page: int
    limit: int
    total: int
    has_more: bool


class CursorPagination(BaseModel):
    """`cursor` of the next page, null on the last. A page can be shorter than `limit`, and others follow."""

    limit: int
    has_more: bool
    cursor: str | None


class Devices(dialect.Success):
    """A page of devices."""

    result: list[dialect.Device]
    pagination: Pagination | CursorPagination


@operation(dialect, Access.READ)
def handler(request: ListDevices, caller: ApiKey) -> Devices:
    """List the devices, oldest binding first."""
    if request.cursor is not None:
        return _page_at_cursor(request, request.cursor, caller)
    found = device_lists.numbered_page(caller.account, caller.parts, request.page, request.limit)
    return Devices(
        result=[dialect.Device.of(device) for device in found.devices],
        pagination=Pagination(page=request.page, limit=request.limit, total=found.total, has_more=found.more),
    )


def _page_at_cursor(request: ListDevices, cursor: str, caller: ApiKey) -> Devices:
    if "page" in request.model_fields_set:
        raise Refused(Reason.INVALID, parameters="page, cursor")
    found = device_lists.page_after(caller.account, caller.parts, cursor, request.limit)
    return Devices(
        result=[dialect.Device.of(device) for device in found.devices],
        pagination=CursorPagination(limit=request.limit, has_more=found.cursor is not None, cursor=found.cursor),
    )
