"""Checks that the domains and users in a request exist."""

from collections.abc import Mapping, Sequence
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Key, Read
from bindery.aws.expressions import exists
from bindery.core.errors import Reason, Refused
from bindery.registry import items


def domain(name: str | None) -> Sequence[Check]:
    """Check that a user's domain exists."""
    return () if name is None else [_exists(items.user_domain(name), "domain", _NO_DOMAIN)]


def domains_of(names: Sequence[str] | None) -> Sequence[Check]:
    """Check that a product's domains exist."""
    named = list(names or ())
    return [
        _exists(items.user_domain(name), f"domains.{number}", _NO_DOMAIN)
        for number, name in enumerate(named)
        if name not in named[:number]
    ]


def user(uid: str) -> Check:
    """Check that a user exists."""
    return _exists(items.user(uid), "uid", _NO_USER)


def require_users(named: Mapping[str, str]) -> None:
    """Raise `NOT_FOUND` unless the named users exist."""
    # Not checks: with the notes of 98 members, a family's transaction has no room for them.
    if not named:
        return
    found = dynamodb.get_many([Read(items.user(uid)) for uid in named.values()])
    for at, uid in named.items():
        if found[items.user(uid)] is None:
            raise Refused(Reason.NOT_FOUND, at=at, detail=_NO_USER)


def _exists(key: Key[Any], at: str, detail: str) -> Check:
    return key.check(exists().raises(Reason.NOT_FOUND, at=at, detail=detail))


_NO_DOMAIN = "the user domain does not exist"
_NO_USER = "the user does not exist"
