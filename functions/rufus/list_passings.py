"""GET /v0/devices/{deviceid}/passings (Bindery's own)."""

from typing import Annotated

from bindery.directory.api_keys import ApiKey
from bindery.http.fields import digits
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.registry import items
from bindery.rufus import dialect, timing

from pydantic import BaseModel, Field, Strict, StringConstraints


class ListPassings(Query):
    """The device's deviceid, and a page of its passings."""

    deviceid: dialect.DeviceId
    limit: Annotated[int, Strict(), Field(ge=1, le=1000), digits(blank=100)] = 100
    cursor: Annotated[str, Strict(), StringConstraints(strip_whitespace=True, max_length=1024)] | None = Field(
        None, description="`cursor` of the previous page; absent for the first one."
    )


class Passing(BaseModel):
    """A passing."""

    timestamp: str
    num_passing: int
    bib: str
    participant_id: str | None
    chip: str | None
    latitude: str | None
    longitude: str | None
    status: str | None
    timezone: str | None
    gender: str | None


class Pagination(BaseModel):
    """`cursor` of the next page, null on the last."""

    limit: int
    has_more: bool
    cursor: str | None


class Passings(dialect.Success):
    """Passings in the order of their times."""

    result: list[Passing]
    pagination: Pagination


@operation(dialect, Access.READ)
def handler(request: ListPassings, caller: ApiKey) -> Passings:
    """List a device's stored passings, also those from before it was unbound. An unknown device has none."""
    found = timing.page(caller.account, request.deviceid, request.limit, request.cursor or None)
    return Passings(
        result=[_passing(passing) for passing in found.passings],
        pagination=Pagination(limit=request.limit, has_more=found.cursor is not None, cursor=found.cursor),
    )


def _passing(stored: items.Passing) -> Passing:
    return Passing.model_validate(stored | {"timestamp": dialect.written(stored["at"])})
