"""Session tokens (JWT, HS256) identify a user. Permissions are read.

Each API has its own secret: functions of one cannot make tokens of another. Raising a user's generation revokes their
tokens.
"""

import uuid
from typing import NamedTuple

import jwt

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Read
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import rates, users
from bindery.directory.users import User
from bindery.registry import items
from bindery.security import secrets

_ISSUER = "bindery"
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "acc", "gen"]


class Session(NamedTuple):
    """A token with a valid signature. `confirm` checks the user."""

    uid: str
    account: str
    domain: str | None
    generation: int
    token: str = ""
    expires_at: int = 0
    """In seconds."""
    id: str = ""
    """Random id of the token. Tokens of earlier releases have none."""

    def reads(self, unavailable: Reason = Reason.UNAVAILABLE) -> list[Read]:
        """Return the reads that `confirm` needs."""
        return [Read(items.user(self.uid), unavailable), Read(items.account(self.account), unavailable)]

    def confirm(self, found: Batch, unknown: Reason = Reason.TOKEN_INVALID) -> User:
        """Return the user. Raises `unknown`, `TOKEN_INVALID` (disabled, moved or revoked) and `RATE_EXCEEDED`."""
        user, account = found[items.user(self.uid)], found[items.account(self.account)]
        if user is None:
            raise Refused(unknown)
        if (
            account is None
            or not user["enabled"]
            or user["generation"] != self.generation
            or user["account"] != self.account
            or user["domain"] != self.domain
            or not account["enabled"]
        ):
            raise Refused(Reason.TOKEN_INVALID)
        rates.spend(account)
        return users.from_items(user, account)

    def look_up(self, unavailable: Reason = Reason.UNAVAILABLE, unknown: Reason = Reason.TOKEN_INVALID) -> User:
        """Read and `confirm` the user."""
        return self.confirm(dynamodb.get_many(self.reads(unavailable)), unknown)


def issue(uid: str, dialect: str, lifetime: int) -> tuple[str, int]:
    """Return a token, valid for `lifetime` seconds, and its expiry (seconds). Raises `NOT_FOUND`, also if disabled."""
    user = dynamodb.get(items.user(uid))
    if user is None or not user["enabled"]:
        raise Refused(Reason.NOT_FOUND)
    return sign(user, dialect, lifetime)


def sign(user: items.User, dialect: str, lifetime: int, *, audience: str | None = None) -> tuple[str, int]:
    """`issue`, given the record. An API accepts only its dialect as `audience`."""
    issued = clock.seconds()
    claims = {
        "iss": _ISSUER,
        "aud": audience or dialect,
        "sub": user["uid"],
        "uid": user["uid"],
        "acc": user["account"],
        "dom": user["domain"],
        "gen": user["generation"],
        "iat": issued,
        "exp": issued + lifetime,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, secrets.session_secret(dialect), "HS256"), issued + lifetime


def verify(token: str, dialect: str, *, audience: str | None = None, leeway: int = 0) -> Session:
    """Return a token's session, until `leeway` seconds after its expiry. Raises `TOKEN_INVALID`."""
    try:
        claims = jwt.decode(
            token,
            secrets.session_secret(dialect),
            algorithms=["HS256"],
            issuer=_ISSUER,
            audience=audience or dialect,
            leeway=leeway,
            options={"require": _REQUIRED},
        )
    except jwt.PyJWTError:
        raise Refused(Reason.TOKEN_INVALID) from None
    user = (claims["sub"], claims["acc"], claims["dom"], claims["gen"])
    return Session(*user, token, claims["exp"], claims.get("jti", ""))
