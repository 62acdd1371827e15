"""`bindery domains`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, changes, command, confidential, group, listed

app = group("User domains: quectel's apps.")

Domain = Annotated[str, typer.Argument(help="The domain's id.")]


class Binders(StrEnum):
    """Who of a domain's users may bind devices."""

    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"


Given = Annotated[bool, typer.Option("--given", help="Ask for the secret that the apps carry. Default: a random one.")]


@command(app, once="secret")
def create(
    api: Client,
    domain: Domain,
    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Whether its users may log in and bind devices.")
    ] = True,
    binders: Annotated[Binders, typer.Option(help="Which of its users may.")] = Binders.EVERYONE,
    given: Given = False,
) -> Any:
    """Enter a user domain. Its secret, what the apps sign logins with, is shown this once."""
    return api.post("domains", domain=domain, enabled=enabled, binders=binders, **_secret(given))


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
        typer.Option("--enabled/--disabled", help="Whether its users may log in and bind devices.", show_default=False),
    ] = None,
    binders: Annotated[Binders | None, typer.Option(help="Which of its users may.", show_default=False)] = None,
) -> Any:
    """Change what is given."""
    return api.ask("PATCH", "domains", domain, body=changes(enabled=enabled, binders=binders))


@command(app, name="secret", once="secret")
def replace_secret(api: Client, domain: Domain, given: Given = False) -> Any:
    """Give a domain another secret, shown this once: apps that sign with the last one log nobody in any more."""
    return api.ask("POST", "domains", domain, "secret", body=_secret(given))


def _secret(given: bool) -> dict[str, str]:
    return {"secret": confidential("Secret")} if given else {}
