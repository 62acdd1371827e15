"""POST /v2/enduser/enduserapi/emailPwdLogin: a user of an app logs in by email address and password.

From the API's wider documentation.
"""

from typing import Annotated

from pydantic import BaseModel, Field, Strict

from bindery.directory import sessions
from bindery.http.fields import ID, Verbatim512, Verbatim2048, VerbatimEmail
from bindery.http.messages import Access, Form, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, login


class EmailPwdLogin(Form):
    """What the app signed, as it sent it, and the signature."""

    email: VerbatimEmail
    pwd: Verbatim2048
    random: Verbatim512
    user_domain: Annotated[str, Strict(), Field(**ID)] = Field(alias="userDomain")
    signature: Verbatim512


class Token(BaseModel):
    """A token, and the second at which it expires."""

    token: str
    expires_at: int = Field(serialization_alias="expirationTime")


class Tokens(Reply):
    """The token that the app sends with its requests, and one that authenticates none of them."""

    access_token: Token = Field(serialization_alias="accessToken")
    refresh_token: Token = Field(serialization_alias="refreshToken")


@operation(dialect.Login, Access.WRITE, refuses=login.REFUSES)
def handler(request: EmailPwdLogin, source_ip: str) -> Tokens:
    """Log in. The access token is good for two hours, the other for thirty days."""
    user = login.log_in(
        request.user_domain, request.email, request.pwd, request.random, request.signature, source_ip=source_ip
    )
    access, access_ends = sessions.sign(user, "quectel", login.ACCESS_LIFETIME)
    refresh, refresh_ends = sessions.sign(user, "quectel", login.REFRESH_LIFETIME, audience="quectel-refresh")
    return Tokens(
        access_token=Token(token=access, expires_at=access_ends),
        refresh_token=Token(token=refresh, expires_at=refresh_ends),
    )
