"""`bindery accounts`."""

from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, command, group, listed

app = group("Manage accounts (tenants).")

Account = Annotated[str, typer.Argument(help="Account id.")]


@command(app, done="Created account {account}.")
def create(api: Client, account: Account, name: Annotated[str, typer.Option(help="Account name.")]) -> Any:
    """Create an account."""
    return api.post("accounts", account=account, name=name)


@command(
    app,
    name="list",
    columns={"ACCOUNT": "account", "NAME": "name", "ENABLED": "enabled", "CREATED": "created_at"},
)
def page(api: Client, limit: Limit = 50, everything: All = False) -> Any:
    """List accounts, sorted by id."""
    return listed(api, "accounts", limit=limit, everything=everything)


@command(app)
def show(api: Client, account: Account) -> Any:
    """Show an account."""
    return api.get("accounts", account)


@command(app, done="Disabled account {account}. Its keys and its users' tokens no longer work.")
def disable(api: Client, account: Account) -> Any:
    """Disable an account. Its keys and its users' tokens stop working immediately."""
    return api.post("accounts", account, "disable")


@command(app, done="Enabled account {account}.")
def enable(api: Client, account: Account) -> Any:
    """Enable a disabled account."""
    return api.post("accounts", account, "enable")
