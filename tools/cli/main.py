"""The command line as a whole."""

from importlib.metadata import version
from typing import Annotated, Any

import typer

from tools.cli import (
    accounts,
    connections,
    devices,
    doctor,
    domains,
    families,
    issued,
    keys,
    privacy,
    products,
    restore,
    settings,
    users,
)

HELP = """Run Bindery: accounts, keys, users, products, devices and the rest, through the admin API.

Which Bindery: --endpoint, else BINDERY_ENDPOINT, else the local server whose folder .local is here. A local server is
asked with its own key pair, a deployed one with that of your AWS profile. `restore` and `switch` work on a stack.

Exit codes: 0 done; 1 refused; 2 not understood; 3 not found; 4 in conflict with what is there; 5 forbidden; 6 out of
reach or unavailable.
"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


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
    "devices": devices,
    "issued": issued,
    "connections": connections,
    "settings": settings,
    "privacy": privacy,
}
for name, module in GROUPS.items():
    app.add_typer(module.app, name=name)
doctor.register(app)
restore.register(app)
