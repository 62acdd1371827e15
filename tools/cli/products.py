"""`bindery products`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.cli import deletion
from tools.cli.client import Exit, Failure
from tools.cli.command import Context, Yes, changes, command, confirm, group
from tools.cli.resource import Resource

app = group("Manage products, the model lines of devices (quectel).")

Product = Annotated[str, typer.Argument(help="Product key.")]
Uid = Annotated[str, typer.Argument(help="User id.")]

CAPABILITIES = "Capabilities of devices bound without any: the sum of 1 (WAN), 2 (LAN), 4 (BLE) and 8 (Matter)."


class Mode(StrEnum):
    """Binding mode: how many users can hold a device at the same time."""

    MULTI = "multi"
    UNIQUE = "unique"
    ROTATING = "rotating"


MODES = dict(enumerate(Mode, 1))


products = Resource(app, "products", product=Product)


@command(app, done="Created product {product_key}.")
def create(
    context: Context,
    product: Product,
    name: Annotated[str, typer.Option(help="Product name.")],
    module_type: Annotated[str, typer.Option(help="Module type.")],
    mode: Annotated[Mode, typer.Option(help="Binding mode. It cannot be changed later.")] = Mode.UNIQUE,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="User domain that can bind its devices (can be repeated). Default: all.", show_default=False),
    ] = None,
    data_center: Annotated[str | None, typer.Option(help="Data center. Default: any.")] = None,
    capabilities: Annotated[int | None, typer.Option(help=f"{CAPABILITIES} Default: 1.", show_default=False)] = None,
    claim_codes: Annotated[
        bool, typer.Option("--claim-codes", help="Require the claim code on a device's label to bind it.")
    ] = False,
) -> Any:
    """Create a product."""
    members: dict[str, Any] = {"name": name, "module_type": module_type, "mode": list(Mode).index(mode) + 1}
    members |= {"domains": domain or None, "data_center": data_center, "capabilities": capabilities}
    if claim_codes:
        members["claim_codes"] = True
    return context.api.post("products", product_key=product, **members)


products.list(
    "List products, sorted by key.",
    {
        "PRODUCT": "product_key",
        "NAME": "name",
        "MODULE": "module_type",
        "MODE": lambda product: MODES[product["mode"]],
        "DOMAINS": lambda product: "all" if product["domains"] is None else product["domains"],
        "DATA CENTER": "data_center",
    },
)
products.show("Show a product, whether it has a TSL, and the first hundred users blocked from it.")


def _next_version(context: Context, product: str, *, yes: bool) -> int:
    version = int(context.api.get("products", product)["claim_version"])
    confirm(f"Make all labels of product {product} that were printed so far invalid?", yes=yes)
    return version + 1


@command(app)
def change(
    context: Context,
    product: Product,
    name: Annotated[str | None, typer.Option(help="Product name.", show_default=False)] = None,
    module_type: Annotated[str | None, typer.Option(help="Module type.", show_default=False)] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="User domain that can bind its devices (can be repeated).", show_default=False),
    ] = None,
    all_domains: Annotated[
        bool, typer.Option("--all-domains", help="Allow all user domains to bind its devices.")
    ] = False,
    data_center: Annotated[str | None, typer.Option(help="Data center. '' removes it.", show_default=False)] = None,
    capabilities: Annotated[int | None, typer.Option(help=CAPABILITIES, show_default=False)] = None,
    claim_codes: Annotated[
        bool | None,
        typer.Option(
            "--claim-codes/--no-claim-codes",
            help="Require the claim code on a device's label to bind it. Bound devices are not affected.",
            show_default=False,
        ),
    ] = None,
    new_claim_codes: Annotated[
        bool, typer.Option("--new-claim-codes", help="Make all labels printed so far invalid.")
    ] = False,
    yes: Yes = False,
) -> Any:
    """Change the specified fields. A product's mode cannot be changed."""
    given = changes(
        name=name,
        module_type=module_type,
        domains="" if all_domains else domain or None,
        data_center=data_center,
        capabilities=capabilities,
        claim_codes=claim_codes,
        claim_version=_next_version(context, product, yes=yes) if new_claim_codes else None,
    )
    return context.api.ask("PATCH", "products", product, body=given)


@command(app, name="tsl", done="Product {product_key} has a TSL. Number of properties: {properties}.")
def load_tsl(
    context: Context,
    product: Product,
    file: Annotated[Path, typer.Argument(help="JSON file with the TSL, as the vendor exports it.")],
) -> Any:
    """Set or replace a product's TSL, the properties that its devices report and accept (at most 256 KiB)."""
    try:
        model = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Failure(Exit.USAGE, f"cannot read a TSL from {file}: {error}") from None
    return context.api.ask("PUT", "products", product, "tsl", body=model)


@command(app, done="User {uid} can no longer bind devices of product {product_key}.")
def bar(context: Context, product: Product, uid: Uid) -> Any:
    """Block a user from binding devices of a product. Existing bindings are kept."""
    return context.api.ask("PUT", "products", product, "barred", uid)


@command(app, done="User {uid} can bind devices of product {product_key}.")
def admit(context: Context, product: Product, uid: Uid) -> Any:
    """Allow a blocked user to bind devices of a product again."""
    return context.api.ask("DELETE", "products", product, "barred", uid)


products.action("keep", "Stop the deletion of a product that has begun.", done="Product {product_key} is kept.")


@command(app, done=deletion.told)
def delete(context: Context, product: Product, cascade: deletion.Cascade = False, yes: Yes = False) -> Any:
    """Delete a product that has no devices, or with --cascade also these, with its TSL and blocked users.

    Its devices can no longer be imported and bound. To stop a deletion that has begun: bindery products keep PRODUCT.
    To resume an interrupted one, run the same command again. Example: bindery products delete p1117e --cascade
    """
    return deletion.run(context.api, "products", product, deletion.of_product, cascade=cascade, yes=yes)
