"""`bindery products`."""

from typing import Annotated, Any

import typer

from tools.cli.client import Client, Exit, Failure
from tools.cli.command import All, Limit, changes, command, group, listed

app = group("Products: quectel's model lines.")

Product = Annotated[str, typer.Argument(help="The product key.")]
Uid = Annotated[str, typer.Argument(help="The user's id.")]
MODES = {"multi": 1, "unique": 2, "rotating": 3}


@command(app)
def create(
    api: Client,
    product: Product,
    name: Annotated[str, typer.Option(help="Its name.")],
    module_type: Annotated[str, typer.Option(help="Its module.")],
    mode: Annotated[str, typer.Option(help="multi, unique or rotating: for good.")] = "unique",
    domain: Annotated[
        list[str] | None, typer.Option(help="A domain that may bind it (again for more). Default: all.")
    ] = None,
    data_center: Annotated[str | None, typer.Option(help="Where it belongs. Default: anywhere.")] = None,
) -> Any:
    """Enter a product."""
    if mode not in MODES:
        raise Failure(Exit.USAGE, f"--mode is one of {', '.join(MODES)}")
    members: dict[str, Any] = {"name": name, "module_type": module_type, "mode": MODES[mode]}
    return api.post("products", product_key=product, **members, domains=domain or None, data_center=data_center)


@command(app, name="list")
def page(api: Client, limit: Limit = 50, everything: All = False) -> Any:
    """List products, by key."""
    return listed(api, "products", limit=limit, everything=everything)


@command(app)
def show(api: Client, product: Product) -> Any:
    """Show one."""
    return api.get("products", product)


@command(app)
def change(
    api: Client,
    product: Product,
    name: Annotated[str | None, typer.Option(help="Its name.", show_default=False)] = None,
    module_type: Annotated[str | None, typer.Option(help="Its module.", show_default=False)] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="A domain that may bind it (again for more).", show_default=False)
    ] = None,
    all_domains: Annotated[bool, typer.Option("--all-domains", help="Every domain may bind it.")] = False,
    data_center: Annotated[
        str | None, typer.Option(help="Where it belongs. '' takes it away.", show_default=False)
    ] = None,
) -> Any:
    """Change what is given; a product's mode is for good."""
    domains = "" if all_domains else domain or None
    given = changes(name=name, module_type=module_type, domains=domains, data_center=data_center)
    return api.ask("PATCH", "products", product, body=given)


@command(app)
def bar(api: Client, product: Product, uid: Uid) -> Any:
    """Bar a user from binding more devices of a product."""
    return api.ask("PUT", "products", product, "barred", uid)


@command(app)
def admit(api: Client, product: Product, uid: Uid) -> Any:
    """Bar a user no longer."""
    return api.ask("DELETE", "products", product, "barred", uid)
