"""POST /v2/binding/enduserapi/shareInfo (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Digits, Identifier64, OptionalWhole
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, sharing
from bindery.quectel.sharing import Cover

from pydantic import Field, model_serializer


class ShareInfo(Query):
    """A device of the user, and when code and share expire, in milliseconds."""

    pk: Identifier64
    dk: dialect.DeviceKey
    accepting_expire_at: OptionalWhole = Field(default=None, alias="acceptingExpireAt")
    cover_mark: Annotated[Cover | None, Digits] = Field(default=None, alias="coverMark")
    sharing_expire_at: OptionalWhole = Field(default=None, alias="sharingExpireAt")


class ShareCode(Reply):
    """The code, which is the whole `data`."""

    code: str

    @model_serializer
    def bare(self) -> str:
        """Return the code alone."""
        return self.code


@operation(
    dialect,
    Access.WRITE,
    refuses=[
        Reason.PRODUCT_KEY_MISSING,
        Reason.DEVICE_KEY_MISSING,
        Reason.DEVICE_KEY_MALFORMED,
        Reason.TIMESTAMP_INVALID,
        Reason.SHARE_MODE_UNKNOWN,
        Reason.SHARING_TOO_SHORT,
        Reason.LOOKUP_FAILED,
        Reason.DEVICE_NOT_BOUND,
        Reason.DOMAIN_ABNORMAL,
        Reason.SHARING_FORBIDDEN,
        Reason.SHARING_SHORTENED,
    ],
)
def handler(request: ShareInfo, caller: Session) -> ShareCode:
    """Create a code. The device's previous codes end unless `coverMark` says otherwise."""
    code = sharing.offer(
        caller,
        request.pk,
        request.dk,
        accepting_until=request.accepting_expire_at,
        sharing_until=request.sharing_expire_at,
        cover=request.cover_mark or Cover.REPLACE,
    )
    return ShareCode(code=code)
