"""`bindery settings`."""

from typing import Annotated, Any

import typer

from tools.cli.command import Context, command, group
from tools.cli.resource import Resource

app = group("Show and change settings of the installation.")

Name = Annotated[str, typer.Argument(help="Setting name.")]
settings = Resource(app, "settings", name=Name)


@command(app, name="list", columns={"NAME": "name", "VALUE": "value", "DEFAULT": "default"})
def page(context: Context) -> Any:
    """List all settings."""
    return iter(context.api.get("settings")["items"])


settings.show("Show a setting.")


@command(app, name="set", done="{name} is now {value}. Requests use the new value within a minute.")
def change(
    context: Context, name: Name, value: Annotated[str, typer.Argument(help="New value, a whole number.")]
) -> Any:
    """Change a setting. Requests use the new value within a minute."""
    return context.api.ask("PUT", "settings", name, body={"value": int(value) if value.isdecimal() else value})
