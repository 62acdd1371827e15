"""`bindery domains`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli import deletion
from tools.cli.command import Context, Yes, changes, command, confidential, confirm, group
from tools.cli.resource import Resource

app = group("Manage user domains, one per app (quectel).")

Domain = Annotated[str, typer.Argument(help="Domain id.")]


class Binders(StrEnum):
    """Users of a domain who can bind devices."""

    EVERYONE = "everyone"
    ADMINISTRATORS = "administrators"


Given = Annotated[
    bool, typer.Option("--given", help="Enter the secret (prompt or standard input). Default: a random one.")
]


domains = Resource(app, "domains", domain=Domain)


@command(app, once="secret", done="Created user domain {domain}.")
def create(
    context: Context,
    domain: Domain,
    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Allow its users to log in and bind devices.")
    ] = True,
    binders: Annotated[Binders, typer.Option(help="Users who can bind devices.")] = Binders.EVERYONE,
    given: Given = False,
) -> Any:
    """Create a user domain. The secret with which its apps sign logins is shown only once."""
    return context.api.post("domains", domain=domain, enabled=enabled, binders=binders, **_secret(given))


domains.list(
    "List user domains, sorted by id.",
    {"DOMAIN": "domain", "ENABLED": "enabled", "BINDERS": "binders", "CREATED": "created_at"},
)
domains.show("Show a user domain.")


@command(app)
def change(
    context: Context,
    domain: Domain,
    enabled: Annotated[
        bool | None,
        typer.Option("--enabled/--disabled", help="Allow its users to log in and bind devices.", show_default=False),
    ] = None,
    binders: Annotated[Binders | None, typer.Option(help="Users who can bind devices.", show_default=False)] = None,
) -> Any:
    """Change the specified fields."""
    return context.api.ask("PATCH", "domains", domain, body=changes(enabled=enabled, binders=binders))


@command(app, name="secret", once="secret", done="Replaced the secret of user domain {domain}.")
def replace_secret(context: Context, domain: Domain, given: Given = False, yes: Yes = False) -> Any:
    """Replace a domain's secret. The new one is shown only once. Logins from apps with the old one are refused."""
    confirm(f"Replace the secret of {domain}? Logins from apps that use the old secret will be refused.", yes=yes)
    return context.api.ask("POST", "domains", domain, "secret", body=_secret(given))


def _secret(given: bool) -> dict[str, str]:
    return {"secret": confidential("Secret")} if given else {}


@command(app, done=deletion.told)
def delete(context: Context, domain: Domain, cascade: deletion.Cascade = False, yes: Yes = False) -> Any:
    """Delete a user domain that has no users and that no product names. With --cascade, its users are erased first.

    It is disabled first, and products no longer name it. To stop a deletion that has begun: bindery domains change
    DOMAIN --enabled. To resume an interrupted one, run the same command again. Example: bindery domains delete demo
    """
    return deletion.run(context.api, "domains", domain, deletion.of_domain, cascade=cascade, yes=yes)
