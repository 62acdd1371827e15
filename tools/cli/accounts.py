"""`bindery accounts`."""

from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, command, group, listed

app = group("Accounts: the tenants.")

Account = Annotated[str, typer.Argument(help="The account's id.")]


@command(app, done="Created account {account}.")
def create(api: Client, account: Account, name: Annotated[str, typer.Option(help="Its name.")]) -> Any:
    """Create an account."""
    return api.post("accounts", account=account, name=name)


@command(
    app,
    name="list",
    columns={"ACCOUNT": "account", "NAME": "name", "ENABLED": "enabled", "CREATED": "created_at"},
)
def page(api: Client, limit: Limit = 50, everything: All = False) -> Any:
    """List accounts, by id."""
    return listed(api, "accounts", limit=limit, everything=everything)


@command(app)
def show(api: Client, account: Account) -> Any:
    """Show one."""
    return api.get("accounts", account)


@command(app, done="Disabled account {account}: its keys and its users' tokens no longer authenticate.")
def disable(api: Client, account: Account) -> Any:
    """Disable an account: its keys and its users' tokens stop authenticating at once."""
    return api.post("accounts", account, "disable")


@command(app, done="Enabled account {account}.")
def enable(api: Client, account: Account) -> Any:
    """Enable a disabled account."""
    return api.post("accounts", account, "enable")
