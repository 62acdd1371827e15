"""POST /v0/passings (the API's wider documentation)."""

from typing import Annotated, cast

from bindery.core.errors import Reason
from bindery.directory.api_keys import ApiKey
from bindery.http.fields import OptionalText128, Text128
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.registry import items
from bindery.rufus import dialect, timing
from bindery.rufus.timing_fields import Coordinate, Hexadecimal, Moment

from pydantic import BaseModel, Field, Strict


class Passing(BaseModel):
    """A passing. A session's passing with the same time and number is stored once."""

    at: Moment = Field(validation_alias="timestamp")
    num_passing: Annotated[int, Strict(), Field(ge=0, le=999_999_999_999_999)]
    bib: Text128
    participant_id: OptionalText128 = None
    chip: OptionalText128 = None
    latitude: Coordinate = None
    longitude: Coordinate = None
    status: OptionalText128 = None
    timezone: OptionalText128 = None
    gender: OptionalText128 = None


class InsertPassings(Body):
    """Passings of a session. As many fit as a body's 16 KB, about 200."""

    token_session: Hexadecimal
    passings_list: Annotated[list[Passing], Field(min_length=1)]


class Inserted(dialect.Created):
    """Numbers of passings that were new, and that had been inserted before."""

    description: str = "Passings inserted succesfully"
    token_session: str
    inserted_count: int
    duplicate_count: int


@operation(dialect, Access.WRITE, refuses=[Reason.NOT_FOUND, Reason.DEVICE_BANNED])
def handler(request: InsertPassings, caller: ApiKey) -> Inserted:
    """Insert passings into the active session of a device. A retry inserts none twice."""
    given = cast("list[items.Passing]", [passing.model_dump() for passing in request.passings_list])
    inserted = timing.insert(caller.account, request.token_session, given, used=caller.used)
    return Inserted(
        token_session=request.token_session, inserted_count=inserted.new, duplicate_count=inserted.duplicates
    )
