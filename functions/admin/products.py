"""/admin/v1/products: quectel's model lines, and who is barred from them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StrictInt

from bindery.directory import products
from bindery.http.fields import DATA_CENTER, VERBATIM, as_name
from bindery.operators import references
from bindery.operators.resource import UNCHANGED, Asked, Cursor, Id, Id64, Limit, Name, Page, PathId, Resource
from bindery.registry.bindings import Mode

handler = Resource("products")

ProductName = Annotated[
    str, Field(min_length=1, max_length=products.NAME_LIMIT, pattern=VERBATIM), AfterValidator(as_name)
]
DataCenter = Annotated[str, Field(**DATA_CENTER)]


class NewProduct(Asked):
    """A product to enter: the mode (1 multi, 2 unique, 3 rotating) is for good; no domains are all of them."""

    product_key: Id64
    name: ProductName
    module_type: Name
    mode: Annotated[StrictInt, Field(ge=Mode.MULTI, le=Mode.ROTATING)] = Mode.UNIQUE
    domains: list[Id] | None = None
    data_center: DataCenter | None = None


class Change(Asked):
    """What is to be another from now on."""

    name: ProductName = UNCHANGED
    module_type: Name = UNCHANGED
    domains: list[Id] | None = UNCHANGED
    data_center: DataCenter | None = UNCHANGED


class Product(BaseModel):
    """A product; null domains are all of them, a null data center is any."""

    product_key: str
    name: str
    module_type: str
    mode: Mode
    domains: list[str] | None
    data_center: str | None
    created_at: int


class ShownProduct(Product):
    """A product, with the ids of the first hundred users who are barred from it."""

    barred: list[str]


class Barred(BaseModel):
    """Whether a user is barred from a product."""

    product_key: str
    uid: str
    barred: bool


def _read(record: Mapping[str, Any]) -> Product:
    return Product.model_validate(record)


@handler.app.post("/admin/v1/products")
def create(new: NewProduct) -> Product:
    """Enter a product."""
    products.create(
        new.product_key,
        name=new.name,
        module_type=new.module_type,
        mode=Mode(new.mode),
        domains=new.domains,
        data_center=new.data_center,
        references=references.domains_of(new.domains),
    )
    return _read(products.show(new.product_key))


@handler.app.get("/admin/v1/products")
def page(limit: Limit = 50, cursor: Cursor = None) -> Page[Product]:
    """List products, by key."""
    found = products.page(limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/products/<product_key>")
def show(product_key: PathId) -> ShownProduct:
    """Show a product, and the first hundred users who are barred from it."""
    return ShownProduct(**_read(products.show(product_key)).model_dump(), barred=products.barred_users(product_key))


@handler.app.patch("/admin/v1/products/<product_key>")
def change(product_key: PathId, changes: Change) -> Product:
    """Change a product, but its mode."""
    given = changes.given()
    products.change(product_key, references=references.domains_of(given.get("domains")), **given)
    return _read(products.show(product_key))


@handler.app.put("/admin/v1/products/<product_key>/barred/<uid>")
def bar(product_key: PathId, uid: PathId) -> Barred:
    """Bar a user: they bind no more devices of the product."""
    products.bar(product_key, uid, references=[references.user(uid)])
    return Barred(product_key=product_key, uid=uid, barred=True)


@handler.app.delete("/admin/v1/products/<product_key>/barred/<uid>")
def admit(product_key: PathId, uid: PathId) -> Barred:
    """Bar a user no longer; one who is not barred stays so."""
    products.admit(product_key, uid)
    return Barred(product_key=product_key, uid=uid, barred=False)
