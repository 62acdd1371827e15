"""Entry point of the command line."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tools.cli import (
    accounts,
    bulk,
    connections,
    doctor,
    domains,
    events,
    examples,
    export,
    families,
    find,
    history,
    issued,
    keys,
    ownership,
    privacy,
    products,
    relay_host,
    restore,
    settings,
    stats,
    tunnel,
    users,
    webhooks,
)

HELP = """Administer a Bindery installation. For examples: bindery devices ban --help

The endpoint is --endpoint, else BINDERY_ENDPOINT, else the local server whose
.local folder, with its key pair, is in the current folder. A deployed one
needs the credentials of an AWS profile.

Exit codes: 0 success; 1 refused or failed; 2 invalid usage or input;
3 not found; 4 conflict; 5 forbidden; 6 unavailable.
"""

PANELS = {
    "Devices": ("find", "devices", "bulk", "export", "stats", "products", "issued", "connections", "tunnel"),
    "People": ("users", "families", "privacy"),
    "Tenants and apps": ("accounts", "keys", "domains"),
    "What happened": ("history", "events", "webhooks"),
    "The installation": ("doctor", "settings", "restore", "switch", "relay-host"),
}
"""Commands and groups by task, in the order of the help."""

_PANEL = {name: panel for panel, names in PANELS.items() for name in names}
_ORDER = list(_PANEL)


_COMPLETION = {
    "install_completion": "Install completion for this shell.",
    "show_completion": "Print the completion for this shell.",
}


class Root(TyperGroup):
    """All commands, in the order of the help."""

    def list_commands(self, context: Any) -> list[str]:
        """Return the names of commands and groups."""
        return sorted(self.commands, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def get_params(self, context: Any) -> list[Any]:
        """Return the options, those of typer with a help of one line."""
        found: list[Any] = super().get_params(context)
        for option in found:
            if option.name in _COMPLETION:
                option.help = _COMPLETION[option.name]
        return found


app = typer.Typer(cls=Root, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bindery {version('bindery')}")
        raise typer.Exit


@app.callback(help=HELP)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


GROUPS: dict[str, Any] = {
    "accounts": accounts,
    "keys": keys,
    "users": users,
    "domains": domains,
    "products": products,
    "families": families,
    # With the commands of `devices`.
    "devices": ownership,
    "bulk": bulk,
    "export": export,
    "issued": issued,
    "connections": connections,
    "webhooks": webhooks,
    "settings": settings,
    "privacy": privacy,
    "history": history,
    "events": events,
}
for name, module in GROUPS.items():
    app.add_typer(module.app, name=name)
find.register(app)
stats.register(app)
doctor.register(app)
restore.register(app)
tunnel.register(app)
relay_host.register(app)
for name, info in examples.commands(app):
    if " " not in name:
        info.rich_help_panel = _PANEL.get(name)
examples.add(app)
