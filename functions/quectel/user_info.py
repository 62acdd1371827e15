"""GET /v2/enduser/enduserapi/userInfo (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect

from pydantic import Field


class UserInfo(Query):
    """No parameters."""


class User(Reply):
    """The user. Both times of registration are the same, in milliseconds; unknown texts are empty."""

    uid: str
    email: str
    nike_name: str = Field(default="", serialization_alias="nikeName")
    phone: str
    lang: str = ""
    timezone: str = ""
    register_time: int = Field(serialization_alias="registerTime")
    register_time_ts: int = Field(serialization_alias="registerTimeTs")
    state: int = Field(default=1, serialization_alias="status")


@operation(dialect, Access.READ, refuses=[Reason.USER_UNKNOWN])
def handler(request: UserInfo, caller: Session) -> User:
    """Show the token's user."""
    user = caller.look_up(unknown=Reason.USER_UNKNOWN)
    return User(
        uid=user.uid,
        email=user.email or "",
        phone=user.phone or "",
        register_time=user.created_at,
        register_time_ts=user.created_at,
    )
