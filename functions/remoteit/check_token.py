"""GET /apv/v27/user/token/{token} (the API's wider documentation)."""

from bindery.http.fields import Verbatim2048
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect, user_info

from pydantic import Field


class CheckToken(Request):
    """A session token, which may be invalid."""

    token: Verbatim2048


class Valid(Reply):
    """The token is valid. `userid` is the `guid` of a login."""

    succeeded: str = Field(default="true", serialization_alias="status")
    email: str
    userid: str


class Invalid(Reply):
    """The token is not valid."""

    succeeded: str = Field(default="false", serialization_alias="status")
    message: str = "invalid api token"


@operation(dialect.Login, Access.READ)
def handler(request: CheckToken, caller: dialect.Developer) -> Valid | Invalid:
    """Check a session token."""
    user = caller.user_of(request.token)
    return Valid(email=user_info.address(user), userid=user_info.guid(user)) if user else Invalid()
