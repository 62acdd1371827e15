"""POST /apv/v27/user/login/authhash (the API's wider documentation)."""

from bindery.http.fields import LoginName, Verbatim512
from bindery.http.messages import Access, Body
from bindery.http.operation import operation
from bindery.remoteit import dialect, login, user_info
from bindery.remoteit.user_info import UserInfo


class LoginByAuthhash(Body):
    """A login with `service_authhash` of an earlier one."""

    username: LoginName
    authhash: Verbatim512


@operation(dialect.Login, Access.WRITE, refuses=login.REFUSES)
def handler(request: LoginByAuthhash, caller: dialect.Developer) -> UserInfo:
    """Log in without a password. A new password or the revocation of the user's tokens ends the authhash."""
    made = login.log_in_by_authhash(caller.confirm(), request.username, request.authhash, source_ip=caller.source_ip)
    return user_info.describe(made, caller.credential)
