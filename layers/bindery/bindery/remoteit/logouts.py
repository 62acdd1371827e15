"""Logout (remoteit). A user's record lists the tokens that were logged out, so checking them costs no further read."""

from bindery.aws import dynamodb
from bindery.aws.expressions import absent, equals
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory.sessions import Session
from bindery.registry import items
from bindery.security import secrets

LIMIT = 50
"""Unexpired tokens in the list. Beyond it, the first to expire leaves, and all that expire no later are logged out."""


def check(session: Session, user: items.User | None) -> None:
    """Raise `TOKEN_INVALID` if the token was logged out."""
    known = user or {}
    if _id(session) in known.get("logged_out", {}) or session.expires_at <= known.get("logged_out_until", 0):
        raise Refused(Reason.TOKEN_INVALID)


def log_out(session: Session, user: items.User) -> None:
    """End this token. Others, and the authhash, stay valid. Raises `CONFLICT`."""
    before = user.get("logged_out", {})
    ends = {token: end for token, end in before.items() if end > clock.seconds()} | {_id(session): session.expires_at}
    changed: items.User = {}
    if len(ends) > LIMIT:
        first = min(ends, key=ends.__getitem__)
        changed["logged_out_until"] = ends.pop(first)
    # Equal to the new list too, because a write whose response was lost is repeated.
    listed = absent("logged_out") | equals("logged_out", before) | equals("logged_out", ends)
    unchanged = equals("generation", user["generation"]) & listed
    dynamodb.write(
        items.user(user["uid"]).update(set=changed | {"logged_out": ends}, when=unchanged.raises(Reason.CONFLICT))
    )


def _id(session: Session) -> str:
    return secrets.fingerprint(session.token)[:16]
