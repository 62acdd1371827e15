"""POST /apv/v27/user/login (the API's wider documentation)."""

from bindery.http.fields import LoginName, Verbatim512
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.remoteit import dialect, login, user_info
from bindery.remoteit.user_info import UserInfo


class Login(Body):
    """A login. The password is not trimmed."""

    username: LoginName
    password: Verbatim512


@operation(dialect.Login, Access.WRITE, refuses=login.REFUSES)
def handler(request: Login, caller: dialect.Developer) -> UserInfo:
    """Log in to the account of the developer key. The token is valid for seven days."""
    made = login.log_in(caller.confirm(), request.username, request.password, source_ip=caller.source_ip)
    return user_info.describe(made, caller.credential)
