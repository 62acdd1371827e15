"""POST /v2/enduser/enduserapi/emailPwdLogin (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.http.fields import ID, Verbatim512, Verbatim2048, VerbatimEmail
from bindery.http.messages import Access, Form
from bindery.http.operation import operation
from bindery.quectel import dialect, login, tokens

from pydantic import Field, Strict


class EmailPwdLogin(Form):
    """A login, signed by the app."""

    email: VerbatimEmail
    pwd: Verbatim2048
    random: Verbatim512
    user_domain: Annotated[str, Strict(), Field(**ID)] = Field(alias="userDomain")
    signature: Verbatim512


@operation(dialect.Login, Access.WRITE, refuses=[*login.REFUSES, Reason.EMAIL_UNKNOWN])
def handler(request: EmailPwdLogin, source_ip: str) -> tokens.Tokens:
    """Log in. The access token is valid for two hours, the refresh token for 30 days."""
    name = login.by_email(request.user_domain, request.email)
    user = login.log_in(request.user_domain, name, request.pwd, request.random, request.signature, source_ip=source_ip)
    return tokens.sign(user)
