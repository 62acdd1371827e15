"""POST /v2/enduser/enduserapi/phonePwdLogin (the API's wider documentation)."""

from typing import Annotated

from bindery.core.errors import Reason
from bindery.http.fields import ID, Trimmed, Verbatim512, Verbatim2048
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, login, tokens

from pydantic import Field, Strict


class PhonePwdLogin(Query):
    """A login, signed by the app. Without a country code, the phone number is a Chinese one."""

    international_code: Annotated[Verbatim512 | None, Trimmed] = Field(default=None, alias="internationalCode")
    phone: Verbatim512
    pwd: Verbatim2048
    random: Verbatim512
    user_domain: Annotated[str, Strict(), Field(**ID)] = Field(alias="userDomain")
    signature: Verbatim512


@operation(dialect.Login, Access.WRITE, refuses=[*login.REFUSES, Reason.PHONE_UNKNOWN])
def handler(request: PhonePwdLogin, source_ip: str) -> tokens.Tokens:
    """Log in. The access token is valid for two hours, the refresh token for 30 days."""
    name = login.by_phone(request.user_domain, request.international_code, request.phone)
    user = login.log_in(request.user_domain, name, request.pwd, request.random, request.signature, source_ip=source_ip)
    return tokens.sign(user)
