"""GET /v0/devices (the API's wider documentation)."""

from typing import Annotated

from bindery.directory.api_keys import ApiKey
from bindery.http.fields import digits
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.rufus import company_devices, dialect

from pydantic import BaseModel, Field, Strict


class ListDevices(Query):
    """A page and its size."""

    page: Annotated[int, Strict(), Field(ge=1, le=999_999_999_999_999), digits(blank=1)] = 1
    limit: Annotated[int, Strict(), Field(ge=1, le=5000), digits(blank=100)] = 100


class Pagination(BaseModel):
    """Position in the whole list, which has `total` devices."""

    page: int
    limit: int
    total: int
    has_more: bool


class Devices(dialect.Success):
    """A page of devices."""

    result: list[dialect.Device]
    pagination: Pagination


@operation(dialect, Access.READ)
def handler(request: ListDevices, caller: ApiKey) -> Devices:
    """List the devices, oldest binding first."""
    found = company_devices.list_devices(caller.account, request.page, request.limit)
    return Devices(
        result=[dialect.Device.of(device) for device in found.devices],
        pagination=Pagination(page=request.page, limit=request.limit, total=found.total, has_more=found.more),
    )
