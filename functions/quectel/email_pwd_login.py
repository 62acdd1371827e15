"""POST /v2/enduser/enduserapi/emailPwdLogin (the API's wider documentation)."""

from typing import Annotated

from bindery.directory import sessions
from bindery.http.fields import ID, Verbatim512, Verbatim2048, VerbatimEmail
from bindery.http.messages import Access, Form, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, login

from pydantic import BaseModel, Field, Strict


class EmailPwdLogin(Form):
    """A login, signed by the app."""

    email: VerbatimEmail
    pwd: Verbatim2048
    random: Verbatim512
    user_domain: Annotated[str, Strict(), Field(**ID)] = Field(alias="userDomain")
    signature: Verbatim512


class Token(BaseModel):
    """A token, and when it expires, in seconds since the Unix epoch."""

    token: str
    expires_at: int = Field(serialization_alias="expirationTime")


class Tokens(Reply):
    """The access token, and a refresh token, which no operation accepts."""

    access_token: Token = Field(serialization_alias="accessToken")
    refresh_token: Token = Field(serialization_alias="refreshToken")


@operation(dialect.Login, Access.WRITE, refuses=login.REFUSES)
def handler(request: EmailPwdLogin, source_ip: str) -> Tokens:
    """Log in. The access token is valid for two hours, the refresh token for 30 days."""
    user = login.log_in(
        request.user_domain, request.email, request.pwd, request.random, request.signature, source_ip=source_ip
    )
    access, access_ends = sessions.sign(user, "quectel", login.ACCESS_LIFETIME)
    refresh, refresh_ends = sessions.sign(user, "quectel", login.REFRESH_LIFETIME, audience="quectel-refresh")
    return Tokens(
        access_token=Token(token=access, expires_at=access_ends),
        refresh_token=Token(token=refresh, expires_at=refresh_ends),
    )
