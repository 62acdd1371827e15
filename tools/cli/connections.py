"""`bindery connections`."""

from typing import Annotated, Any

import typer

from tools.cli import lookup
from tools.cli.client import Exit, Failure
from tools.cli.command import All, Context, Limit, command, group, listed

app = group("List and end connections to devices (remoteit).")


@command(
    app,
    name="list",
    columns={
        "DEVICE": "device",
        "CALLER": "caller",
        "ADDRESS": "address",
        "CLIENT": "client_ip",
        "EXPIRES": "expires_at",
    },
)
def page(
    context: Context,
    to: Annotated[str | None, typer.Option("--device", help="Device id.", show_default=False)] = None,
    serial: lookup.Serial = None,
    product: lookup.Product = None,
    mac: lookup.Mac = None,
    imei: lookup.Imei = None,
    address: lookup.Address = None,
    caller: Annotated[str | None, typer.Option(help="User id of the caller.", show_default=False)] = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List the current connections to a device or of a caller."""
    options = {"serial": serial, "product": product, "mac": mac, "imei": imei, "address": address}
    asked = to is not None or any(value is not None for value in options.values())
    if asked is (caller is not None):
        raise Failure(Exit.USAGE, "specify a device (--device, --serial, --mac, --imei or --address) or --caller")
    device = lookup.device(context.api, to, options) if asked else None
    return listed(context.api, "connections", limit=limit, everything=everything, device=device, caller=caller)


@command(app, done="Ended the connection of {caller} to device {device}.")
def stop(
    context: Context,
    device: lookup.Device,
    uid: Annotated[str, typer.Argument(help="User id of the caller.")],
) -> Any:
    """End a caller's connection to a device."""
    return context.api.ask("DELETE", "connections", device, uid)
