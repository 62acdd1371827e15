"""User domains (quectel): apps and their users."""

from typing import Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Read
from bindery.aws.expressions import absent
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items

Binders = items.Binders


def lookup(domain: str | None) -> Read:
    """Return the read of a session's domain, for `check`."""
    # No domain has an empty name, so a user without a domain is refused.
    return Read(items.user_domain(domain or ""), Reason.LOOKUP_FAILED)


def check(domain: items.UserDomain | None) -> items.UserDomain:
    """Return an enabled user domain. Raises `DOMAIN_ABNORMAL`."""
    if domain is None or not domain["enabled"]:
        raise Refused(Reason.DOMAIN_ABNORMAL)
    return domain


def create(
    domain: str, *, enabled: bool = True, binders: Binders = "everyone", sealed_secret: str | None = None
) -> None:
    """Create a user domain. Raises `ALREADY_EXISTS`."""
    facts: items.UserDomain = {
        "collection": items.user_domains().value,
        "domain": domain,
        "binders": binders,
        "enabled": enabled,
        "created_at": clock.now(),
    }
    if sealed_secret is not None:
        facts["sealed_secret"] = sealed_secret
    dynamodb.write(items.user_domain(domain).put(facts, when=absent().raises(Reason.ALREADY_EXISTS)))


def show(domain: str) -> items.UserDomain:
    """Return a user domain. Raises `NOT_FOUND`."""
    return directory.show(items.user_domain(domain))


def list_domains(limit: int, cursor: str | None) -> CursorPage[items.UserDomain]:
    """Return a page of user domains."""
    return dynamodb.page(items.user_domains(), limit, cursor)


def change(domain: str, /, **members: Unpack[items.UserDomain]) -> None:
    """Change `binders` or `enabled`. Enabling it ends a deletion that has begun. Raises `NOT_FOUND`."""
    if members.get("enabled"):
        dynamodb.write(items.user_domain(domain).update(set=members, remove=["deleting_at"], when=directory.EXISTS))
    else:
        directory.change(items.user_domain(domain), members)


def close(domain: str) -> None:
    """Disable a user domain that is to be deleted. Raises `NOT_FOUND`."""
    disabled: items.UserDomain = {"enabled": False, "deleting_at": clock.now()}
    directory.change(items.user_domain(domain), disabled)
