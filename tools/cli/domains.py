"""`bindery domains`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, changes, command, group, listed

app = group("User domains: quectel's apps.")

Domain = Annotated[str, typer.Argument(help="The domain's id.")]


class Binders(StrEnum):
    """Who of a domain's users may bind devices."""

    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"


@command(app)
def create(
    api: Client,
    domain: Domain,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="Whether its users may bind devices.")] = True,
    binders: Annotated[Binders, typer.Option(help="Which of its users may.")] = Binders.EVERYONE,
) -> Any:
    """Enter a user domain."""
    return api.post("domains", domain=domain, enabled=enabled, binders=binders)


@command(app, name="list")
def page(api: Client, limit: Limit = 50, everything: All = False) -> Any:
    """List user domains, by id."""
    return listed(api, "domains", limit=limit, everything=everything)


@command(app)
def show(api: Client, domain: Domain) -> Any:
    """Show one."""
    return api.get("domains", domain)


@command(app)
def change(
    api: Client,
    domain: Domain,
    enabled: Annotated[
        bool | None,
        typer.Option("--enabled/--disabled", help="Whether its users may bind devices.", show_default=False),
    ] = None,
    binders: Annotated[Binders | None, typer.Option(help="Which of its users may.", show_default=False)] = None,
) -> Any:
    """Change what is given."""
    return api.ask("PATCH", "domains", domain, body=changes(enabled=enabled, binders=binders))
