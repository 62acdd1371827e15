"""GET /v2/enduser/enduserapi/getProductList (the API's wider documentation)."""

from bindery.core.errors import Reason
from bindery.directory.sessions import Session
from bindery.http.fields import OptionalWhole
from bindery.http.messages import Access, Query
from bindery.http.operation import operation
from bindery.quectel import dialect, user_products

from pydantic import Field


class GetProductList(Query):
    """A page."""

    page_num: OptionalWhole = Field(default=None, alias="pageNum")
    page_size: OptionalWhole = Field(default=None, alias="pageSize")


@operation(dialect, Access.READ, refuses=[Reason.LOOKUP_FAILED])
def handler(request: GetProductList, caller: Session) -> dialect.Products:
    """List the products that are open to the user's domain, by key, ten on a page by default."""
    number, size = request.page_num or 1, min(request.page_size or 10, user_products.PAGE_LIMIT)
    found = user_products.list_products(caller)
    part = found[(number - 1) * size : number * size]
    return dialect.page_of(dialect.Products, [*map(dialect.product, part)], len(found), number, size)
