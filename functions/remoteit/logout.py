"""POST /apv/v27/user/logout (the API's wider documentation)."""

from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect, logouts

from pydantic import Field


class Logout(Request):
    """No parameters."""


class LoggedOut(Reply):
    """The token is no longer valid."""

    succeeded: str = Field(default="true", serialization_alias="status")


@operation(dialect, Access.WRITE)
def handler(request: Logout, caller: dialect.Caller) -> LoggedOut:
    """End the session. The user's other sessions, their connections and the authhash stay valid."""
    logouts.log_out(caller.session, caller.record())
    return LoggedOut()
