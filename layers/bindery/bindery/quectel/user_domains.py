"""User domains (quectel): the apps that users belong to, and who of an app's users may bind devices."""

from typing import Any, Literal

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Put, Read, Table
from bindery.core import clock
from bindery.core.errors import Reason, Refused

Binders = Literal["everyone", "administrators"]

LIST = "domains"
"""Under which all user domains stand in the index by list."""


def key(domain: str) -> Key:
    """Where a user domain stands in the directory."""
    return Key(Table.DIRECTORY, f"domain#{domain}", "domain")


def read(domain: str | None) -> Read:
    """What `admit` needs. No user domain has an empty name, so a user without one is refused."""
    return Read(key(domain or ""), Reason.LOOKUP_FAILED)


def create(
    domain: str, *, enabled: bool = True, binders: Binders = "everyone", sealed_secret: str | None = None
) -> None:
    """Enter a user domain, whose secret was sealed by `domain_secrets`. Raises `ALREADY_EXISTS`."""
    record = {"list": LIST, "domain": domain, "binders": binders, "enabled": enabled, "created_at": clock.now()}
    dynamodb.write(
        Put(
            key(domain),
            record if sealed_secret is None else record | {"sealed_secret": sealed_secret},
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def admit(domain: Item | None) -> Item:
    """Return the record of a session's user domain. Raises `DOMAIN_ABNORMAL`: it does not exist or is disabled."""
    if domain is None or not domain["enabled"]:
        raise Refused(Reason.DOMAIN_ABNORMAL)
    return domain


def show(domain: str) -> Item:
    """A user domain's record. Raises `NOT_FOUND`."""
    return directory.show(key(domain))


def page(limit: int, cursor: str | None) -> Page:
    """Part of the list of all user domains. Raises `INVALID`: the cursor is none."""
    return directory.page(LIST, limit, cursor)


def change(domain: str, **members: Any) -> None:
    """Say which of a domain's users may bind devices (`binders`), or that none may, nor share nor log in (`enabled`).

    Raises `NOT_FOUND`.
    """
    directory.change(key(domain), members)
