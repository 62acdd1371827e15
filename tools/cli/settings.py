"""`bindery settings`."""

import json
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import command, group

app = group("Settings of the installation.")

Name = Annotated[str, typer.Argument(help="The setting's name.")]


@command(app, name="list")
def page(api: Client) -> Any:
    """List all settings."""
    return iter(api.get("settings")["items"])


@command(app)
def show(api: Client, name: Name) -> Any:
    """Show one."""
    return api.get("settings", name)


@command(app, name="set")
def change(
    api: Client, name: Name, value: Annotated[str, typer.Argument(help="A JSON value; anything else is a text.")]
) -> Any:
    """Set one: every request that comes in after this follows it."""
    try:
        meant = json.loads(value)
    except ValueError:
        meant = value
    return api.ask("PUT", "settings", name, body={"value": meant})
