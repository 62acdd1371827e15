"""GET /v2/binding/enduserapi/productTSL (the API's wider documentation)."""

from typing import Any

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import Identifier64
from bindery.http.messages import Access, Query, Reply
from bindery.http.operation import operation
from bindery.quectel import dialect, user_products

from pydantic import Field


class ProductTsl(Query):
    """A product."""

    pk: Identifier64


class Tsl(Reply):
    """The TSL twice, as text and as members: clients read either."""

    tsl_json: str = Field(serialization_alias="tslJson")
    profile: dict[str, Any]
    properties: list[dict[str, Any]]
    services: list[dict[str, Any]]
    events: list[dict[str, Any]]


@operation(dialect, Access.READ, refuses=[Reason.PRODUCT_KEY_MISSING, Reason.LOOKUP_FAILED, Reason.TSL_UNKNOWN])
def handler(request: ProductTsl, caller: Session) -> Tsl:
    """Return the TSL as the operator loaded it. Without one, all lists are empty."""
    model = user_products.tsl_of(caller, request.pk)
    return Tsl(tsl_json=model.text, **model.members)
