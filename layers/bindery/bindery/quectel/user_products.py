"""quectel: products as a user sees them. Every function also raises `TOKEN_INVALID` and `LOOKUP_FAILED`."""

from bindery.aws import dynamodb
from bindery.core.errors import Reason
from bindery.directory import products
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
