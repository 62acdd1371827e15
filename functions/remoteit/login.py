"""POST /apv/v27/user/login (the API's wider documentation)."""

from bindery.http.fields import LoginName, Verbatim512
from bindery.http.messages import Access, Body, Reply
from bindery.http.operation import operation
from bindery.remoteit import dialect, login

from pydantic import Field


class Login(Body):
    """A login. The password is not trimmed."""

    username: LoginName
    password: Verbatim512


class LoggedIn(Reply):
    """The session token under both names, when it expires, and the user's identifiers."""

    succeeded: str = Field(default="true", serialization_alias="status")
    token: str
    auth_token: str
    auth_expiration: int
    email: str
    guid: str
    service_authhash: str


@operation(dialect.Login, Access.WRITE, refuses=login.REFUSES)
def handler(request: Login, caller: dialect.Developer) -> LoggedIn:
    """Log in to the account of the developer key. The token is valid for seven days."""
    made = login.log_in(caller.confirm(), request.username, request.password, source_ip=caller.source_ip)
    return LoggedIn(
        token=made.token,
        auth_token=made.token,
        auth_expiration=made.expires_at,
        email=made.email,
        guid=made.guid,
        service_authhash=made.service_authhash,
    )
