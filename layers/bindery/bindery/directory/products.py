"""Products (quectel): model lines, with their binding mode and who may bind their devices."""

from collections.abc import Sequence
from enum import IntEnum

from bindery import clock, dynamo
from bindery.dynamo import Check, Condition, Delete, Key, Put, Table, Update
from bindery.faults import Fault, Reason
from bindery.identity import canonical

DOMAIN_LIMIT = 100
"""How many user domains a product lists at most."""

NAME_LIMIT = 254
"""Characters of a name: a device that is given none has its product's."""

_EXISTS = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)


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
    """Where it stands that a user is barred from a product."""
    return Key(Table.DIRECTORY, f"product#{canonical(product_key)}", f"barred#{uid}")


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
    if len(name) > NAME_LIMIT:
        raise Fault(Reason.INVALID)
    dynamo.write(
        Put(
            key(product_key),
            {
                "product_key": canonical(product_key),
                "name": name,
                "mode": mode,
                "module_type": module_type,
                "domains": _bounded(domains),
                "data_center": data_center,
                "created_at": clock.now(),
            },
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def authorise(product_key: str, domains: Sequence[str] | None) -> None:
    """Open a product to these user domains alone, or with None to all. Raises `NOT_FOUND` and `LIMIT_REACHED`."""
    dynamo.write(Update(key(product_key), "SET #domains = :domains", {":domains": _bounded(domains)}, _EXISTS))


def bar(product_key: str, uid: str) -> None:
    """Bar a user from a product: they bind no more devices of it. Raises `NOT_FOUND` (no such product)."""
    dynamo.transact(
        [Check(key(product_key), _EXISTS), Put(barred(product_key, uid), {"uid": uid, "created_at": clock.now()})]
    )


def admit(product_key: str, uid: str) -> None:
    """Bar a user no longer; one who is not barred stays so."""
    dynamo.write(Delete(barred(product_key, uid)))


def _bounded(domains: Sequence[str] | None) -> list[str] | None:
    if domains is None:
        return None
    if len(domains) > DOMAIN_LIMIT:
        raise Fault(Reason.LIMIT_REACHED)
    return list(domains)
