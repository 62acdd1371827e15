"""Products (quectel): model lines, with their binding mode and who may bind their devices."""

from collections.abc import Iterator, Sequence
from typing import TypeGuard, Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, CursorPage, Put, Update
from bindery.aws.expressions import absent
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import items
from bindery.registry.bindings import Mode
from bindery.registry.identity import canonical

DOMAIN_LIMIT = 99
"""Maximum number of user domains of a product: with the product itself, one transaction."""

BARRED_LIMIT = 100
"""Maximum number of barred users that are shown."""

NAME_LIMIT = 254
"""Maximum length of a name in characters: a device without a name gets its product's."""

_ROUND_TRIPS = 50
"""Maximum number of round trips for the bars of one user: a megabyte each."""


def serves(product: items.Product | None, domain: str | None) -> TypeGuard[items.Product]:
    """Return True if a product exists and is for users of this domain."""
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
    """Create a product. Without `domains` it is for all domains, without `data_center` for all data centers.

    Raises `ALREADY_EXISTS`, `INVALID` (a name of more than 254 characters), `LIMIT_REACHED` (over 99 domains) and
    `NOT_FOUND` (a reference does not exist).
    """
    product: items.Product = {
        "name": name,
        "module_type": module_type,
        "domains": None if domains is None else list(domains),
        "data_center": data_center,
        "collection": items.products().value,
        "product_key": canonical(product_key),
        "mode": mode,
        "created_at": clock.now(),
    }
    _check(product)
    _write(items.product(product_key).put(product, when=absent().raises(Reason.ALREADY_EXISTS)), references)


def show(product_key: str) -> items.Product:
    """Return a product. Raises `NOT_FOUND`."""
    return directory.show(items.product(product_key))


def list_products(limit: int, cursor: str | None) -> CursorPage[items.Product]:
    """Return a page of all products. Raises `INVALID` for an invalid cursor."""
    return dynamodb.page(items.products(), limit, cursor)


def change(product_key: str, /, *, references: Sequence[Check] = (), **members: Unpack[items.Product]) -> None:
    """Change what `create` takes, except the mode: existing bindings depend on it.

    Raises `NOT_FOUND` (the product, or a reference), `INVALID` (a name of more than 254 characters) and `LIMIT_REACHED`
    (over 99 domains).
    """
    _check(members)
    if members:
        _write(items.product(product_key).update(set=members, when=directory.EXISTS), references)


def bar(product_key: str, uid: str, *, references: Sequence[Check] = ()) -> None:
    """Bar a user from binding devices of a product. Raises `NOT_FOUND` (the product or a reference)."""
    barred: items.Bar = {
        "collection": items.bars_from(product_key).value,
        "product_key": product_key,
        "uid": uid,
        "created_at": clock.now(),
    }
    dynamodb.transact(
        [items.product(product_key).check(directory.EXISTS), *references, items.bar(product_key, uid).put(barred)]
    )


def bars(uid: str) -> Iterator[items.Bar]:
    """Yield the bars of a user, from a consistent read."""
    return dynamodb.query(items.bars(uid), consistent=True, round_trips=_ROUND_TRIPS)


def barred_users(product_key: str) -> list[str]:
    """Return the ids of the first hundred users who are barred from a product, from the index."""
    return [bar["uid"] for bar in dynamodb.page(items.bars_from(product_key), BARRED_LIMIT).items]


def unbar(product_key: str, uid: str) -> None:
    """Lift the bar of a user from a product, if there is one."""
    dynamodb.write(items.bar(product_key, uid).delete())


def _write(product: Put | Update, checks: Sequence[Check]) -> None:
    if checks:
        dynamodb.transact([product, *checks])
    else:
        dynamodb.write(product)


def _check(members: items.Product) -> None:
    if len(members.get("name", "")) > NAME_LIMIT:
        raise Refused(Reason.INVALID)
    if len(members.get("domains") or ()) > DOMAIN_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
