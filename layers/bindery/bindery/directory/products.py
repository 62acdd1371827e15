"""Products (quectel): model lines, with their binding mode and who may bind their devices."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Delete, Item, Key, Page, Put, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry.bindings import Mode
from bindery.registry.identity import canonical, join

DOMAIN_LIMIT = 99
"""Maximum number of user domains of a product: with the product itself, what one transaction takes."""

BARRED_LIMIT = 100
"""Maximum number of barred users that are shown."""

NAME_LIMIT = 254
"""Characters of a name: a device that is given none has its product's."""

LIST = "products"
"""Under which all products stand in the index by list."""

_ROUND_TRIPS = 50
"""Maximum number of round trips for the bars of one user: a megabyte each."""


def key(product_key: str) -> Key:
    """Where a product stands in the directory."""
    return Key(Table.DIRECTORY, f"product#{canonical(product_key)}", "product")


def barred(product_key: str, uid: str) -> Key:
    """Key of the bar of a user from a product. The bars of a user are one partition."""
    return Key(Table.DIRECTORY, join("bars", uid), f"product#{canonical(product_key)}")


def serves(product: Item | None, domain: str | None) -> TypeGuard[Item]:
    """True if a product exists and is for users of this domain."""
    return product is not None and (product["domains"] is None or domain in product["domains"])


def create(
    product_key: str,
    *,
    name: str,
    module_type: str,
    mode: Mode = Mode.UNIQUE,
    domains: Sequence[str] | None = None,
    data_center: str | None = None,
    references: Sequence[Check] = (),
) -> None:
    """Enter a product. Without `domains` it is for every domain, without `data_center` its devices are for every one.

    Raises `ALREADY_EXISTS`, `INVALID` (a name of more than 254 characters), `LIMIT_REACHED` (over 99 domains) and
    `NOT_FOUND` (a reference does not exist).
    """
    facts = {
        "name": name,
        "module_type": module_type,
        "domains": None if domains is None else list(domains),
        "data_center": data_center,
    }
    _check(facts)
    product = Put(
        key(product_key),
        {"list": LIST, "product_key": canonical(product_key), "mode": mode, "created_at": clock.now(), **facts},
        Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
    )
    _write(product, references)


def show(product_key: str) -> Item:
    """A product's record. Raises `NOT_FOUND`."""
    return directory.show(key(product_key))


def page(limit: int, cursor: str | None) -> Page:
    """Part of the list of all products. Raises `INVALID`: the cursor is none."""
    return directory.page(LIST, limit, cursor)


def change(product_key: str, *, references: Sequence[Check] = (), **members: Any) -> None:
    """Change what `create` takes, but the mode: bindings stand as it says.

    Raises `NOT_FOUND` (the product, or a reference), `INVALID` (a name of more than 254 characters) and `LIMIT_REACHED`
    (over 99 domains).
    """
    _check(members)
    if members:
        _write(directory.changed(key(product_key), members), references)


def bar(product_key: str, uid: str, *, references: Sequence[Check] = ()) -> None:
    """Bar a user from a product: they bind no more devices of it. Raises `NOT_FOUND` (the product or a reference)."""
    dynamodb.transact(
        [
            Check(key(product_key), directory.EXISTS),
            *references,
            Put(
                barred(product_key, uid),
                {
                    "list": _barred_from(product_key),
                    "product_key": product_key,
                    "uid": uid,
                    "created_at": clock.now(),
                },
            ),
        ]
    )


def bars(uid: str) -> Iterator[Item]:
    """Yield the bars of a user, from a consistent read."""
    values = {":user": barred("", uid).pk}
    return dynamodb.query(Table.DIRECTORY, "#pk = :user", values, consistent=True, round_trips=_ROUND_TRIPS)


def barred_users(product_key: str) -> list[str]:
    """The ids of the first hundred users who are barred from a product. The index follows the table."""
    found = directory.page(_barred_from(product_key), BARRED_LIMIT, None)
    return [record["uid"] for record in found.items]


def admit(product_key: str, uid: str) -> None:
    """Bar a user no longer; one who is not barred stays so."""
    dynamodb.write(Delete(barred(product_key, uid)))


def _barred_from(product_key: str) -> str:
    """The index by list's key of those who are barred from a product."""
    return join("barred", canonical(product_key))


def _write(product: Put | Update, checks: Sequence[Check]) -> None:
    if checks:
        dynamodb.transact([product, *checks])
    else:
        dynamodb.write(product)


def _check(members: Item) -> None:
    if len(members.get("name", "")) > NAME_LIMIT:
        raise Refused(Reason.INVALID)
    if len(members.get("domains") or ()) > DOMAIN_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
