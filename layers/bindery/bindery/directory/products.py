"""Products (quectel), and users barred from them."""

from collections.abc import Iterator, Sequence
from typing import TypeGuard, Unpack

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, CursorPage, Put, Update
from bindery.aws.expressions import absent
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.registry import acts, items
from bindery.registry.bindings import Mode
from bindery.registry.identity import canonical

DOMAIN_LIMIT = 99
"""User domains of a product: with the product, one transaction."""

BARRED_LIMIT = 100

NAME_LIMIT = 254
"""Characters of a name, which devices without one get."""

CAPABILITIES = 1
"""Default of a product's `capabilities`: WAN."""

_ROUND_TRIPS = 50


def serves(product: items.Product | None, domain: str | None) -> TypeGuard[items.Product]:
    """Return True if a product is for users of this domain."""
    return product is not None and (product["domains"] is None or domain in product["domains"])


def create(
    product_key: str,
    *,
    name: str,
    module_type: str,
    mode: Mode = Mode.UNIQUE,
    domains: Sequence[str] | None = None,
    data_center: str | None = None,
    capabilities: int | None = None,
    claim_codes: bool = False,
    references: Sequence[Check] = (),
) -> None:
    """Create a product, by default for all domains and data centers.

    Raises `ALREADY_EXISTS`, `INVALID`, `LIMIT_REACHED` and `NOT_FOUND` (a reference).
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
    if capabilities is not None:
        product["capabilities"] = capabilities
    if claim_codes:
        product["claim_codes"] = True
    _check(product)
    _write(items.product(product_key).put(product, when=absent().raises(Reason.ALREADY_EXISTS)), references)


def show(product_key: str) -> items.Product:
    """Return a product. Raises `NOT_FOUND`."""
    return directory.show(items.product(product_key))


def list_products(limit: int, cursor: str | None) -> CursorPage[items.Product]:
    """Return a page of products."""
    return dynamodb.page(items.products(), limit, cursor)


def change(product_key: str, /, *, references: Sequence[Check] = (), **members: Unpack[items.Product]) -> None:
    """Change a product, except its mode, on which bindings depend.

    Raises `NOT_FOUND`, `INVALID` and `LIMIT_REACHED`.
    """
    _check(members)
    if members:
        _write(items.product(product_key).update(set=members, when=directory.EXISTS), references)


def close(product_key: str) -> None:
    """Prevent imports and bindings of a product that is to be deleted. Raises `NOT_FOUND`."""
    closed: items.Product = {"deleting_at": clock.now()}
    directory.change(items.product(product_key), closed)


def keep(product_key: str) -> None:
    """End the deletion of a product that has begun. Raises `NOT_FOUND`."""
    dynamodb.write(items.product(product_key).update(remove=["deleting_at"], when=directory.EXISTS))


def is_open(product: items.Product | None) -> bool:
    """Return True if a product exists, and is not being deleted."""
    return bool(product) and "deleting_at" not in (product or {})


def bar(product_key: str, uid: str, *, references: Sequence[Check] = ()) -> None:
    """Bar a user from binding a product's devices. Raises `NOT_FOUND`."""
    barred: items.Bar = {
        "collection": items.bars_from(product_key).value,
        "product_key": product_key,
        "uid": uid,
        "created_at": clock.now(),
    }
    dynamodb.transact(
        [items.product(product_key).check(directory.OPEN), *references, items.bar(product_key, uid).put(barred)]
    )


def bars(uid: str) -> Iterator[items.Bar]:
    """Yield a user's bars."""
    return dynamodb.query(items.bars(uid), consistent=True, round_trips=_ROUND_TRIPS)


def barred_users(product_key: str) -> list[str]:
    """Return the first users barred from a product."""
    return [bar["uid"] for bar in dynamodb.page(items.bars_from(product_key), BARRED_LIMIT).items]


def unbar(product_key: str, uid: str) -> None:
    """Lift a user's bar, if any."""
    bar = items.bar(product_key, uid)
    deletion = bar.delete(when=directory.EXISTS)
    try:
        dynamodb.transact([deletion, *acts.deleted(bar, "bar", canonical(product_key))])
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise


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
