"""`bindery domains`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, Yes, changes, command, confidential, confirm, group, listed

app = group("User domains: quectel's apps.")

Domain = Annotated[str, typer.Argument(help="The domain's id.")]


class Binders(StrEnum):
    """Who of a domain's users may bind devices."""

    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"


Given = Annotated[bool, typer.Option("--given", help="Ask for the secret that the apps carry. Default: a random one.")]


@command(app, once="secret", done="Created user domain {domain}.")
def create(
    api: Client,
    domain: Domain,
    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Whether its users may log in and bind devices.")
    ] = True,
    binders: Annotated[Binders, typer.Option(help="Which of its users may.")] = Binders.EVERYONE,
    given: Given = False,
) -> Any:
    """Create a user domain. Its secret, with which the apps sign logins, is shown only once."""
    return api.post("domains", domain=domain, enabled=enabled, binders=binders, **_secret(given))


@command(
    app,
    name="list",
    columns={"DOMAIN": "domain", "ENABLED": "enabled", "BINDERS": "binders", "CREATED": "created_at"},
)
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
    """Change the specified fields."""
    return api.ask("PATCH", "domains", domain, body=changes(enabled=enabled, binders=binders))


@command(app, name="secret", once="secret", done="Replaced the secret of user domain {domain}.")
def replace_secret(api: Client, domain: Domain, given: Given = False, yes: Yes = False) -> Any:
    """Replace a domain's secret, which is shown only once. Apps that sign with the old one can log nobody in."""
    confirm(f"Replace the secret of {domain}? Apps that sign with the old one can log nobody in.", yes=yes)
    return api.ask("POST", "domains", domain, "secret", body=_secret(given))


def _secret(given: bool) -> dict[str, str]:
    return {"secret": confidential("Secret")} if given else {}
