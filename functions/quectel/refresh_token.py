"""PUT /v2/enduser/enduserapi/refreshToken (the API's wider documentation)."""

from typing import Annotated

from bindery.http.fields import Trimmed, Verbatim2048
from bindery.http.messages import Access, QueryOrForm
from bindery.http.operation import operation
from bindery.quectel import dialect, tokens

from pydantic import Field


class RefreshToken(QueryOrForm):
    """The refresh token. Without one, the access token in the header is renewed."""

    refresh_token: Annotated[Verbatim2048 | None, Trimmed] = Field(default=None, alias="refreshToken")


@operation(dialect.Refresh, Access.WRITE)
def handler(request: RefreshToken, access_token: str) -> tokens.Tokens:
    """Renew the tokens. The one that was sent can be used for another minute, in case the response is lost."""
    given = request.refresh_token
    return tokens.renew(None if given is None else dialect.bare_token(given), access_token)
