"""`bindery connections`."""

from typing import Annotated, Any

import typer

from tools.cli.client import Client, Exit, Failure
from tools.cli.command import All, Limit, command, group, listed

app = group("Connections: leases to reach a device (remoteit).")


@command(app, name="list")
def page(
    api: Client,
    device: Annotated[str | None, typer.Option(help="Those to this device.", show_default=False)] = None,
    caller: Annotated[str | None, typer.Option(help="Those of this user.", show_default=False)] = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List the live connections to a device, or those of a caller."""
    if (device is None) is (caller is None):
        raise Failure(Exit.USAGE, "give --device or --caller")
    return listed(api, "connections", limit=limit, everything=everything, device=device, caller=caller)


@command(app)
def stop(
    api: Client,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    uid: Annotated[str, typer.Argument(help="The caller's id.")],
) -> Any:
    """End a caller's connection to a device."""
    return api.ask("DELETE", "connections", device, uid)
