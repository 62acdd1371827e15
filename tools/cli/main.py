"""Entry point of the command line."""

from importlib.metadata import version
from typing import Annotated, Any

import typer

from tools.cli import (
    accounts,
    connections,
    devices,
    doctor,
    domains,
    events,
    families,
    find,
    history,
    issued,
    keys,
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

HELP = """Administer a Bindery installation through its admin API.

The endpoint is --endpoint, else BINDERY_ENDPOINT, else the local server whose
.local folder is in the current folder. Requests to a local server are signed
with its own key pair, requests to a deployed one with your AWS profile's
credentials. `restore` and `switch` take the name of a stack instead, and
`tunnel` uses a user's credentials.

Exit codes: 0 success; 1 refused or failed; 2 invalid usage or input;
3 not found; 4 conflict; 5 forbidden; 6 unavailable.
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
