"""quectel: products as a user sees them. Every function also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

import json
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Read
from bindery.core.errors import Reason, Refused
from bindery.directory import products, tsl
from bindery.directory.sessions import Session
from bindery.registry import items

PAGE_LIMIT = 100
"""Products on a page."""


def list_products(session: Session) -> list[items.Product]:
    """Return the products that are open to the user's domain."""
    session.look_up(Reason.LOOKUP_FAILED)
    # One round trip: a megabyte, some 3,000 products.
    found = dynamodb.query(items.products(), round_trips=1, unavailable=Reason.LOOKUP_FAILED)
    return [product for product in found if products.serves(product, session.domain)]


class ThingModel(NamedTuple):
    """A product's TSL."""

    text: str
    """JSON."""
    members: dict[str, Any]


def tsl_of(session: Session, product_key: str) -> ThingModel:
    """Return a product's TSL. Raises `TSL_UNKNOWN`, also for a product that is not open to the domain."""
    product, model = items.product(product_key), items.tsl(product_key)
    reads = [Read(key, Reason.LOOKUP_FAILED) for key in (product, model)]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(found)
    if not products.serves(found[product], session.domain):
        raise Refused(Reason.TSL_UNKNOWN)
    text = tsl.text(found[model])
    return ThingModel(text, json.loads(text))
