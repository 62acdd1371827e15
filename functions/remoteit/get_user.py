"""POST /apv/v27/user/info (the API's wider documentation)."""

from bindery.http.messages import Access, Request
from bindery.http.operation import operation
from bindery.remoteit import dialect, user_info
from bindery.remoteit.login import LoggedIn
from bindery.remoteit.user_info import UserInfo


class GetUser(Request):
    """No parameters."""


@operation(dialect, Access.READ)
def handler(request: GetUser, caller: dialect.Caller) -> UserInfo:
    """Return the session and its user, as a login does."""
    session = LoggedIn(caller.session.token, caller.session.expires_at, caller.record())
    return user_info.describe(session, caller.credential)
