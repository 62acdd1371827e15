"""What an operator's request names must exist. Each check raises `NOT_FOUND` with the member that names it, `at`."""

from collections.abc import Mapping, Sequence

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Key, Read
from bindery.core.errors import Reason, Refused
from bindery.directory import users
from bindery.quectel import user_domains


def domain(name: str | None) -> Sequence[Check]:
    """The user domain of a user exists, if they have one."""
    return () if name is None else [_exists(user_domains.key(name), "domain", _NO_DOMAIN)]


def domains_of(names: Sequence[str] | None) -> Sequence[Check]:
    """The user domains of a product exist."""
    named = list(names or ())
    return [
        _exists(user_domains.key(name), f"domains.{number}", _NO_DOMAIN)
        for number, name in enumerate(named)
        if name not in named[:number]
    ]


def user(uid: str) -> Check:
    """A user exists."""
    return _exists(users.key(uid), "uid", _NO_USER)


def require_users(named: Mapping[str, str]) -> None:
    """Raise `NOT_FOUND` if one of the users does not exist, given by the members that name them.

    A read: with the notes of a family's 98 members a transaction has no room for a check of each.
    """
    found = dynamodb.get_many([Read(users.key(uid)) for uid in named.values()]) if named else []
    for at, record in zip(named, found, strict=True):
        if record is None:
            raise Refused(Reason.NOT_FOUND, at=at, detail=_NO_USER)


def _exists(key: Key, at: str, otherwise: str) -> Check:
    return Check(key, directory.EXISTS._replace(detail={"at": at, "detail": otherwise}))


_NO_DOMAIN = "the user domain does not exist"
_NO_USER = "the user does not exist"
