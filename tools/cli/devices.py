"""`bindery devices`."""

from typing import Annotated, Any

import typer

from tools.cli import imports
from tools.cli.client import Client, Exit, Failure
from tools.cli.command import All, Limit, command, group, listed

app = group("Devices: what exists, whoever holds it.")

Device = Annotated[str, typer.Argument(help="The device's id, as `find` shows it.")]
Reason = Annotated[str, typer.Option(help="Why: for the next one who looks.")]
COLUMNS = imports.Columns(("product_key", "serial", "device_key"), ("module_type", "data_center"))


@command(app, name="import", failed=imports.failed)
def enter(
    api: Client,
    file: imports.File,
    form: imports.FileFormat = None,
    dry_run: imports.DryRun = False,
    errors: imports.Errors = None,
    restart: imports.Restart = False,
    unbindable: Annotated[
        bool, typer.Option("--unbindable", help="Enter devices whose device key is missing or malformed, too.")
    ] = False,
) -> Any:
    """Enter manufactured devices (quectel), or replace their manufacturing records.

    Columns: product_key, serial, device_key, and if you like module_type, data_center. An import that was interrupted
    goes on when the same command is given again.
    """
    return imports.run(
        api,
        "devices",
        COLUMNS,
        file,
        form=form,
        dry_run=dry_run,
        errors=errors,
        restart=restart,
        unbindable=unbindable,
    )


@command(app)
def find(
    api: Client,
    serial: Annotated[str | None, typer.Option(help="A serial number.", show_default=False)] = None,
    mac: Annotated[str | None, typer.Option(help="A MAC address.", show_default=False)] = None,
    imei: Annotated[str | None, typer.Option(help="An external identifier.", show_default=False)] = None,
    address: Annotated[str | None, typer.Option(help="A service address.", show_default=False)] = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """Find devices by one of these, in whichever API they are."""
    given = {"serial": serial, "mac": mac, "imei": imei, "address": address}
    if sum(value is not None for value in given.values()) != 1:
        raise Failure(Exit.USAGE, "give one of --serial, --mac, --imei and --address")
    return listed(api, "devices", limit=limit, everything=everything, **given)


@command(app)
def show(api: Client, device: Device) -> Any:
    """Show one, and who holds it."""
    return api.get("devices", device)


@command(app)
def ban(api: Client, device: Device, reason: Reason) -> Any:
    """Ban a device: it is neither bound, nor added, nor connected to any more."""
    return api.post("devices", device, "ban", reason=reason)


@command(app)
def unban(api: Client, device: Device) -> Any:
    """Lift a ban."""
    return api.post("devices", device, "unban")


@command(app)
def unbind(
    api: Client,
    device: Device,
    reason: Reason,
    uid: Annotated[str | None, typer.Option(help="Whose binding, where several hold it.", show_default=False)] = None,
) -> Any:
    """End a device's binding, by force."""
    return api.ask("POST", "devices", device, "unbind", body={"reason": reason}, query={"uid": uid})


@command(app)
def disable(api: Client, device: Device) -> Any:
    """Let nobody bind it any more (quectel); who has it keeps it."""
    return api.post("devices", device, "disable")


@command(app)
def enable(api: Client, device: Device) -> Any:
    """Let it be bound again."""
    return api.post("devices", device, "enable")


@command(app)
def activate(api: Client, device: Device) -> Any:
    """Let it be connected to."""
    return api.post("devices", device, "activate")


@command(app)
def deactivate(api: Client, device: Device) -> Any:
    """Let nobody connect to it."""
    return api.post("devices", device, "deactivate")


@command(app)
def address(
    api: Client,
    device: Device,
    given: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="The service address to give it.", show_default=False)
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take its service address from it.")] = False,
) -> Any:
    """Give a device a service address, or take it away."""
    if (given is None) is not remove:
        raise Failure(Exit.USAGE, "give an address or --remove")
    if remove:
        return api.ask("DELETE", "devices", device, "address")
    return api.ask("PUT", "devices", device, "address", body={"address": given})
