"""`bindery accounts`."""

from typing import Annotated, Any

import typer

from tools.cli.command import All, Context, Limit, command, group, listed

app = group("Manage accounts (tenants).")

Account = Annotated[str, typer.Argument(help="Account id.")]


@command(app, done="Created account {account}.")
def create(context: Context, account: Account, name: Annotated[str, typer.Option(help="Account name.")]) -> Any:
    """Create an account."""
    return context.api.post("accounts", account=account, name=name)


@command(
    app,
    name="list",
    columns={"ACCOUNT": "account", "NAME": "name", "ENABLED": "enabled", "CREATED": "created_at"},
)
def page(context: Context, limit: Limit = 50, everything: All = False) -> Any:
    """List accounts, sorted by id."""
    return listed(context.api, "accounts", limit=limit, everything=everything)


@command(app)
def show(context: Context, account: Account) -> Any:
    """Show an account."""
    return context.api.get("accounts", account)


@command(app, done="Disabled account {account}. Its keys and its users' tokens no longer work.")
def disable(context: Context, account: Account) -> Any:
    """Disable an account. Its keys and its users' tokens stop working immediately."""
    return context.api.post("accounts", account, "disable")


@command(app, done="Enabled account {account}.")
def enable(context: Context, account: Account) -> Any:
    """Enable a disabled account."""
    return context.api.post("accounts", account, "enable")
