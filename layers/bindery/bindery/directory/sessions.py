"""Session tokens of users: JWTs that this installation signs (HS256) and that name the user, not what they may do.

Each dialect that has session tokens signs them with a secret of its own, so a function of one cannot make tokens of
another. A token is valid for one dialect (its audience), until it expires, and while the user's generation is the one
that it was issued under: revoking a user's tokens raises the generation.
"""

from typing import NamedTuple

import jwt

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Item, Read
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, users
from bindery.directory.users import User
from bindery.security import secrets

_ISSUER = "bindery"
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "acc", "gen"]


class Session(NamedTuple):
    """A token whose signature and times are good; whether its user is, is read with whatever else a request reads."""

    uid: str
    account: str
    domain: str | None
    generation: int

    def reads(self, unavailable: Reason = Reason.UNAVAILABLE) -> tuple[Read, Read]:
        """What `confirm` needs: the user's record and the account's."""
        return Read(users.key(self.uid), unavailable), Read(accounts.key(self.account), unavailable)

    def confirm(self, user: Item | None, account: Item | None) -> User:
        """The user behind the token. Raises `TOKEN_INVALID`: unknown, disabled or moved, or the token was revoked."""
        if (
            user is None
            or account is None
            or not user["enabled"]
            or user["generation"] != self.generation
            or user["account"] != self.account
            or user["domain"] != self.domain
            or not account["enabled"]
        ):
            raise Refused(Reason.TOKEN_INVALID)
        return users.read(user, account)

    def look_up(self, unavailable: Reason = Reason.UNAVAILABLE) -> User:
        """`confirm` for a request that reads nothing else."""
        return self.confirm(*dynamodb.get_many(self.reads(unavailable)))


def issue(uid: str, dialect: str, lifetime: int) -> tuple[str, int]:
    """A token for a user, good for `lifetime` seconds, and the second at which it expires. Raises `NOT_FOUND`."""
    record = dynamodb.get(users.key(uid))
    if record is None or not record["enabled"]:
        raise Refused(Reason.NOT_FOUND)
    return sign(record, dialect, lifetime)


def sign(record: Item, dialect: str, lifetime: int, *, audience: str | None = None) -> tuple[str, int]:
    """`issue` for a user whose record was read. With another `audience` than the dialect it authenticates nobody."""
    issued = clock.seconds()
    claims = {
        "iss": _ISSUER,
        "aud": audience or dialect,
        "sub": record["uid"],
        "uid": record["uid"],
        "acc": record["account"],
        "dom": record["domain"],
        "gen": record["generation"],
        "iat": issued,
        "exp": issued + lifetime,
    }
    return jwt.encode(claims, secrets.session_secret(dialect), "HS256"), issued + lifetime


def verify(token: str, dialect: str) -> Session:
    """The session of a token. Raises `TOKEN_INVALID`: malformed, forged, for another dialect, or expired."""
    try:
        claims = jwt.decode(
            token,
            secrets.session_secret(dialect),
            algorithms=["HS256"],
            issuer=_ISSUER,
            audience=dialect,
            options={"require": _REQUIRED},
        )
    except jwt.PyJWTError:
        raise Refused(Reason.TOKEN_INVALID) from None
    return Session(claims["sub"], claims["acc"], claims["dom"], claims["gen"])
