"""Checks that the domains and users in a request exist."""

from collections.abc import Mapping, Sequence

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Read
from bindery.aws.expressions import absent, exists
from bindery.core.errors import Reason, Refused
from bindery.registry import items


def domain(name: str | None) -> Sequence[Check]:
    """Check that a user's domain exists, and is not being deleted."""
    return () if name is None else [_open(name, "domain")]


def domains_of(names: Sequence[str] | None) -> Sequence[Check]:
    """Check that a product's domains exist, and are not being deleted."""
    named = list(names or ())
    return [_open(name, f"domains.{number}") for number, name in enumerate(named) if name not in named[:number]]


def user(uid: str) -> Check:
    """Check that a user exists."""
    return items.user(uid).check(exists().raises(Reason.NOT_FOUND, at="uid", detail=_NO_USER))


def require_users(named: Mapping[str, str]) -> None:
    """Raise `NOT_FOUND` unless the named users exist."""
    # Not checks: with the notes of 98 members, a family's transaction has no room for them.
    if not named:
        return
    found = dynamodb.get_many([Read(items.user(uid)) for uid in named.values()])
    for at, uid in named.items():
        if found[items.user(uid)] is None:
            raise Refused(Reason.NOT_FOUND, at=at, detail=_NO_USER)


def _open(name: str, at: str) -> Check:
    is_open = exists() & absent("deleting_at")
    return items.user_domain(name).check(is_open.raises(Reason.NOT_FOUND, at=at, detail=_NO_DOMAIN))


_NO_DOMAIN = "the user domain does not exist, or is being deleted"
_NO_USER = "the user does not exist"
