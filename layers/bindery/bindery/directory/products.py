"""Products (quectel): model lines, with their binding mode and who may bind their devices."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from bindery import clock, directory, dynamo
from bindery.dynamo import Check, Condition, Delete, Item, Key, Page, Put, Table
from bindery.faults import Fault, Reason
from bindery.identity import canonical, join

DOMAIN_LIMIT = 100
"""How many user domains a product lists at most."""

NAME_LIMIT = 254
"""Characters of a name: a device that is given none has its product's."""

LIST = "products"
"""Under which all products stand in the index by list."""

_ROUND_TRIPS = 50
"""Maximum number of round trips for the bars of one user: a megabyte each."""


class Mode(IntEnum):
    """How many users hold a device of a product, by the API's own numbers. Fixed when the product is entered."""

    MULTI = 1
    """Any number."""
    UNIQUE = 2
    """One, until they let go of it."""
    ROTATING = 3
    """One, until the next binds it."""


def key(product_key: str) -> Key:
    """Where a product stands in the directory."""
    return Key(Table.DIRECTORY, f"product#{canonical(product_key)}", "product")


def barred(product_key: str, uid: str) -> Key:
    """Key of the bar of a user from a product. The bars of a user are one partition."""
    return Key(Table.DIRECTORY, join("bars", uid), f"product#{canonical(product_key)}")


def create(
    product_key: str,
    *,
    name: str,
    module_type: str,
    mode: Mode = Mode.UNIQUE,
    domains: Sequence[str] | None = None,
    data_center: str | None = None,
) -> None:
    """Enter a product. Without `domains` it is for every domain, without `data_center` its devices are for every one.

    Raises `ALREADY_EXISTS`, `INVALID` (a name of more than 254 characters) and `LIMIT_REACHED` (over 100 domains).
    """
    facts = {
        "name": name,
        "module_type": module_type,
        "domains": None if domains is None else list(domains),
        "data_center": data_center,
    }
    _check(facts)
    dynamo.write(
        Put(
            key(product_key),
            {
                "list": LIST,
                "product_key": canonical(product_key),
                "mode": mode,
                "created_at": clock.now(),
                **facts,
            },
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def show(product_key: str) -> Item:
    """A product's record. Raises `NOT_FOUND`."""
    return directory.show(key(product_key))


def page(limit: int, cursor: str | None) -> Page:
    """Part of the list of all products. Raises `INVALID`: the cursor is none."""
    return directory.page(LIST, limit, cursor)


def change(product_key: str, **members: Any) -> None:
    """Change what `create` takes, but the mode: bindings stand as it says.

    Raises `NOT_FOUND`, `INVALID` (a name of more than 254 characters) and `LIMIT_REACHED` (over 100 domains).
    """
    _check(members)
    directory.change(key(product_key), members)


def bar(product_key: str, uid: str) -> None:
    """Bar a user from a product: they bind no more devices of it. Raises `NOT_FOUND` (no such product)."""
    dynamo.transact(
        [
            Check(key(product_key), directory.EXISTS),
            Put(
                barred(product_key, uid),
                {
                    "list": join("barred", canonical(product_key)),
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
    return dynamo.query(Table.DIRECTORY, "#pk = :user", values, consistent=True, round_trips=_ROUND_TRIPS)


def admit(product_key: str, uid: str) -> None:
    """Bar a user no longer; one who is not barred stays so."""
    dynamo.write(Delete(barred(product_key, uid)))


def _check(members: Item) -> None:
    if len(members.get("name", "")) > NAME_LIMIT:
        raise Fault(Reason.INVALID)
    if len(members.get("domains") or ()) > DOMAIN_LIMIT:
        raise Fault(Reason.LIMIT_REACHED)
