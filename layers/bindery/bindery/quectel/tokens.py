"""quectel: the tokens of a login, and their renewal."""

from pydantic import BaseModel, Field

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import sessions
from bindery.http.messages import Reply
from bindery.registry import items

ACCESS_LIFETIME = 2 * 3600
"""Seconds."""
REFRESH_LIFETIME = 30 * 24 * 3600
"""Seconds."""
GRACE = 60_000
"""Milliseconds for which a used token can be used again, because a response may be lost."""

_REFRESH = "quectel-refresh"


class Token(BaseModel):
    """A token, and when it expires, in seconds since the Unix epoch."""

    token: str
    expires_at: int = Field(serialization_alias="expirationTime")


class Tokens(Reply):
    """The access token, and the token that renews it."""

    access_token: Token = Field(serialization_alias="accessToken")
    refresh_token: Token = Field(serialization_alias="refreshToken")


def sign(user: items.User) -> Tokens:
    """Return new tokens of a user."""
    access, access_ends = sessions.sign(user, "quectel", ACCESS_LIFETIME)
    refresh, refresh_ends = sessions.sign(user, "quectel", REFRESH_LIFETIME, audience=_REFRESH)
    return Tokens(
        access_token=Token(token=access, expires_at=access_ends),
        refresh_token=Token(token=refresh, expires_at=refresh_ends),
    )


def renew(refresh_token: str | None, access_token: str) -> Tokens:
    """Return new tokens for a refresh token, or without one for an access token. Raises `TOKEN_INVALID`.

    An access token can be renewed for as long after its expiry as a refresh token is valid.
    """
    if refresh_token is not None:
        session, leeway = sessions.verify(refresh_token, "quectel", audience=_REFRESH), 0
    else:
        session, leeway = sessions.verify(access_token, "quectel", leeway=REFRESH_LIFETIME), REFRESH_LIFETIME
    user_key, domain_key = items.user(session.uid), items.user_domain(session.domain or "")
    used_key = items.used_token(session.id)
    found = dynamodb.get_many([*session.reads(), Read(domain_key), Read(used_key)])
    session.confirm(found)
    user, domain, used = found[user_key], found[domain_key], found[used_key]
    expired = used is not None and clock.now() > used["used_at"] + GRACE
    if user is None or domain is None or not domain["enabled"] or not session.id or expired:
        raise Refused(Reason.TOKEN_INVALID)
    if used is None:
        dynamodb.write(used_key.update(once={"used_at": clock.now(), "expires_at": session.expires_at + leeway}))
    return sign(user)
