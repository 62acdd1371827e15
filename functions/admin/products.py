"""/admin/v1/products: model lines of quectel, and the users barred from them."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from bindery.directory import products, tsl
from bindery.http.fields import DATA_CENTER, VERBATIM, DeviceIdentifier, as_name
from bindery.operators import deletion, references
from bindery.operators.resource import (
    UNCHANGED,
    Cascade,
    Cursor,
    Deletion,
    Id,
    Id64,
    Limit,
    Name,
    Page,
    PathId,
    RequestBody,
    Resource,
)
from bindery.quectel import claim_codes
from bindery.quectel.claim_codes import FIRST_VERSION
from bindery.registry.bindings import Mode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator
from pydantic_core import PydanticCustomError

handler = Resource("products")

ProductName = Annotated[
    str, Field(min_length=1, max_length=products.NAME_LIMIT, pattern=VERBATIM), AfterValidator(as_name)
]
DataCenter = Annotated[str, Field(**DATA_CENTER)]
TSL_DEPTH = 20
"""Levels of arrays and objects."""

DataType = Literal["BOOL", "INT", "FLOAT", "DOUBLE", "ENUM", "TEXT", "DATE", "STRUCT", "ARRAY"]
Capabilities = Annotated[StrictInt, Field(ge=1, le=15)]

ClaimVersion = Annotated[StrictInt, Field(ge=FIRST_VERSION, le=10**9)]


def _fits(serial: str) -> str:
    if len(claim_codes.label(serial, "x" * claim_codes.LENGTH)) > 128:
        raise PydanticCustomError("too_long_for_a_label", "with a claim code, is longer than 128 characters")
    return serial


Serial = Annotated[DeviceIdentifier, AfterValidator(_fits)]


class NewProduct(RequestBody):
    """A product to create. The mode (1 multi, 2 unique, 3 rotating) cannot be changed later."""

    product_key: Id64
    name: ProductName
    module_type: Name
    mode: Annotated[StrictInt, Field(ge=Mode.MULTI, le=Mode.ROTATING)] = Mode.UNIQUE
    domains: list[Id] | None = None
    data_center: DataCenter | None = None
    capabilities: Capabilities | None = None
    claim_codes: StrictBool = False


class Change(RequestBody):
    """The members to change."""

    name: ProductName = UNCHANGED
    module_type: Name = UNCHANGED
    domains: list[Id] | None = UNCHANGED
    data_center: DataCenter | None = UNCHANGED
    capabilities: Capabilities = UNCHANGED
    claim_codes: StrictBool = UNCHANGED
    claim_version: ClaimVersion = UNCHANGED


class LabelledDevices(RequestBody):
    """Serial numbers of devices that need labels. The devices need not exist yet."""

    serials: Annotated[list[Serial], Field(min_length=1, max_length=claim_codes.LABELS_LIMIT)]


class Property(BaseModel):
    """A property that devices report (R) or accept (W). Other members are kept."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    id: Annotated[StrictInt, Field(ge=0, le=65535)]
    code: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    name: ProductName
    type: Literal["PROPERTY"]
    data_type: DataType = Field(alias="dataType")
    sub_type: Literal["R", "W", "RW"] = Field(alias="subType")
    specs: dict[str, Any] | list[dict[str, Any]] = []


def _distinct(properties: list[Property]) -> list[Property]:
    for name in ("id", "code"):
        if len({getattr(each, name) for each in properties}) < len(properties):
            raise PydanticCustomError("repeated", "two properties have the same {name}", {"name": name})
    return properties


def _shallow(given: Any) -> Any:
    # Serialization has a limit of some 200.
    layer = [given]
    for _ in range(TSL_DEPTH):
        layer = [inner for each in layer for inner in _inside(each)]
    if layer:
        raise PydanticCustomError("too_deep", "is nested too deeply")
    return given


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


class NewTsl(BaseModel):
    """A thing model, as the vendor exports it. Other members are kept."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    profile: dict[str, Any] = {}
    properties: Annotated[list[Property], AfterValidator(_distinct)]
    services: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []

    _depth = model_validator(mode="before")(_shallow)


class LoadedTsl(BaseModel):
    """A product, and the number of properties in its TSL."""

    product_key: str
    properties: int


class Product(BaseModel):
    """A product. Null `domains` are all domains, and a null `data_center` is any. `deleting_at`: in deletion."""

    product_key: str
    name: str
    module_type: str
    mode: Mode
    domains: list[str] | None
    data_center: str | None
    capabilities: int = products.CAPABILITIES
    claim_codes: bool = False
    claim_version: int = FIRST_VERSION
    created_at: int
    deleting_at: int | None = Field(None, exclude_if=lambda at: at is None)


class ShownProduct(Product):
    """A product, whether it has a TSL, and the first hundred users barred from it."""

    tsl: bool
    barred: list[str]


class Label(BaseModel):
    """A device's claim code, and the text of its label's QR code."""

    serial: str
    claim_code: str
    text: str


class Labels(BaseModel):
    """The labels of a product's devices, in the order of the request, and whether a bind request needs their codes."""

    product_key: str
    claim_codes: bool
    claim_version: int
    labels: list[Label]


class Barred(BaseModel):
    """A product, and a user who is barred or not."""

    product_key: str
    uid: str
    barred: bool


@handler.app.post("/admin/v1/products")
def create(new: NewProduct) -> Product:
    """Create a product."""
    products.create(
        new.product_key,
        name=new.name,
        module_type=new.module_type,
        mode=Mode(new.mode),
        domains=new.domains,
        data_center=new.data_center,
        capabilities=new.capabilities,
        claim_codes=new.claim_codes,
        references=references.domains_of(new.domains),
    )
    return Product.model_validate(products.show(new.product_key))


@handler.app.get("/admin/v1/products")
def list_products(limit: Limit = 50, cursor: Cursor = None) -> Page[Product]:
    """List products, by key."""
    return Page.of(products.list_products(limit, cursor), Product.model_validate)


@handler.app.get("/admin/v1/products/<product_key>")
def show(product_key: PathId) -> ShownProduct:
    """Show a product."""
    product = Product.model_validate(products.show(product_key))
    return ShownProduct(**product.model_dump(), tsl=tsl.exists(product_key), barred=products.barred_users(product_key))


@handler.app.patch("/admin/v1/products/<product_key>")
def change(product_key: PathId, changes: Change) -> Product:
    """Change a product, except its mode."""
    members = changes.specified()
    products.change(product_key, references=references.domains_of(members.get("domains")), **members)
    return Product.model_validate(products.show(product_key))


@handler.app.put("/admin/v1/products/<product_key>/tsl")
def load_tsl(product_key: PathId, model: NewTsl) -> LoadedTsl:
    """Set or replace a product's TSL, at most 256 KiB."""
    tsl.load(product_key, model.model_dump(by_alias=True, exclude_unset=True))
    return LoadedTsl(product_key=product_key, properties=len(model.properties))


@handler.app.post("/admin/v1/products/<product_key>/claim-codes")
def derive_claim_codes(product_key: PathId, devices: LabelledDevices) -> Labels:
    """Return the claim codes of up to 500 devices, to print them on labels. They are secrets of the devices' owners."""
    product = products.show(product_key)
    version = claim_codes.version(product)
    codes = [(serial, claim_codes.of(product_key, serial, version)) for serial in devices.serials]
    labels = [Label(serial=serial, claim_code=code, text=claim_codes.label(serial, code)) for serial, code in codes]
    return Labels(
        product_key=product["product_key"],
        claim_codes=product.get("claim_codes", False),
        claim_version=version,
        labels=labels,
    )


@handler.app.put("/admin/v1/products/<product_key>/barred/<uid>")
def bar(product_key: PathId, uid: PathId) -> Barred:
    """Bar a user from binding devices of a product."""
    products.bar(product_key, uid, references=[references.user(uid)])
    return Barred(product_key=product_key, uid=uid, barred=True)


@handler.app.delete("/admin/v1/products/<product_key>/barred/<uid>")
def unbar(product_key: PathId, uid: PathId) -> Barred:
    """Lift a user's bar from a product, if any."""
    products.unbar(product_key, uid)
    return Barred(product_key=product_key, uid=uid, barred=False)


@handler.app.delete("/admin/v1/products/<product_key>")
def delete(product_key: PathId, cascade: Cascade = False) -> Deletion:
    """Delete a product without devices, with its TSL and bars."""
    return Deletion.model_validate(deletion.product(product_key, cascade=cascade)._asdict())


@handler.app.post("/admin/v1/products/<product_key>/keep")
def keep(product_key: PathId) -> Product:
    """End a deletion that has begun: devices of the product can be imported and bound again."""
    products.keep(product_key)
    return Product.model_validate(products.show(product_key))
