"""`bindery devices`."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.cli import backfill, bulk_import, deletion, import_report, labels, lists, lookup, output
from tools.cli import history as events
from tools.cli.client import Exit, Failure
from tools.cli.command import All, Context, Limit, Yes, command, confirm, group, listed
from tools.cli.import_rows import Columns
from tools.cli.lookup import Device
from tools.cli.resource import Resource
from tools.cli.times import Since

app = group("Import, find, ban and unbind devices.")


class Service(StrEnum):
    """Type of a service (remoteit)."""

    TCP = "tcp"
    SSH = "ssh"
    HTTP = "http"
    HTTPS = "https"
    VNC = "vnc"
    RDP = "rdp"
    SAMBA = "samba"
    BULK = "bulk"


Reason = Annotated[str, typer.Option(help="Reason, shown to other operators.")]
IMPORTED = Columns(
    ("product_key", "serial", "device_key"),
    ("module_type", "data_center"),
    identity=("product_key", "serial"),
    alike=lambda row: _device_key(row),
    alike_name="device_key",
)


def _device_key(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a row's product and device key, or None if the key is malformed."""
    key = row.get("device_key")
    return (
        (row.get("product_key", ""), key)
        if isinstance(key, str) and re.fullmatch("[A-Za-z0-9]{4,32}", key.strip())
        else None
    )


def _state(device: Mapping[str, Any]) -> str:
    ban = device["ban"]
    states = {
        "banned" if ban is None else ban["kind"]: ban is not None,
        "disabled": not device["enabled"],
        "inactive": not device["active"],
    }
    return ", ".join(state for state, holds in states.items() if holds) or "active"


FOUND: output.Columns = {
    "DEVICE": "device",
    "API": "dialect",
    "ACCOUNT/PRODUCT": lambda device: device["account"] or device["product_key"],
    "IDENTIFIER": lambda device: device["serial"] or device["imei"] or device["mac"],
    "STATE": _state,
    "ADDRESSES": lambda device: ", ".join(service["address"] for service in device["services"]),
}

ONLINE: output.Columns = {
    "DEVICE": "device",
    "API": "dialect",
    "ACCOUNT/PRODUCT": lambda device: device["account"] or device["product_key"],
    "IDENTIFIER": lambda device: device["serial"] or device["imei"] or device["mac"],
    "SINCE": "connected_at",
    "FROM": "ip",
    "AGENT": "agent",
}


devices = Resource(app, "devices", device=Device)


@command(app, name="import", failed=import_report.failed, done=import_report.summary)
def enter(
    context: Context,
    file: bulk_import.File,
    form: bulk_import.FileFormat = None,
    dry_run: bulk_import.DryRun = False,
    errors: bulk_import.Errors = None,
    restart: bulk_import.Restart = False,
    unbindable: Annotated[
        bool, typer.Option("--unbindable", help="Also import devices without a valid device key.")
    ] = False,
) -> Any:
    """Import manufactured devices (quectel). Existing manufacturing records are replaced.

    Columns: product_key, serial, device_key; optional: module_type, data_center.
    To resume an interrupted import, run the same command again.
    """
    return bulk_import.run(
        context.api,
        "devices",
        IMPORTED,
        file,
        form=form,
        dry_run=dry_run,
        errors=errors,
        restart=restart,
        unbindable=unbindable,
    )


@command(app, name="labels", done=labels.summary)
def print_labels(
    context: Context,
    product: Annotated[str, typer.Option(help="Product key of the devices.")],
    output: Annotated[Path, typer.Option(help="File to write, or for svg a folder. Existing files are kept.")],
    form: Annotated[
        labels.LabelFormat | None,
        typer.Option(
            "--format",
            help="svg (a file per label), pdf (A4 sheets of 21 labels of 63.5 x 38.1 mm) or csv (codes and QR texts). "
            "Default: from the file name.",
            show_default=False,
        ),
    ] = None,
    serial: Annotated[
        list[str] | None, typer.Option(help="Serial number (can be repeated).", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="CSV or NDJSON file with serial numbers in the column serial. Rows of other products are left out.",
            show_default=False,
        ),
    ] = None,
    state: lists.State = None,
    since: Since = None,
) -> Any:
    """Write labels with QR codes and claim codes (quectel), by default for all devices of the product.

    A claim code proves that its holder has the device. Keep the files secret.
    """
    listed = lists.query(product=product, account=None, api=None, state=state, since=since)
    return labels.make(context.api, product, labels.choose(context.api, serial, file, listed), form, output)


@command(app, columns=FOUND)
def find(
    context: Context,
    serial: lookup.Serial = None,
    product: lookup.Product = None,
    mac: lookup.Mac = None,
    imei: lookup.Imei = None,
    address: lookup.Address = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """Find devices of any API by serial number, MAC address, external identifier or service address."""
    options = {"serial": serial, "product": product, "mac": mac, "imei": imei, "address": address}
    name, value = lookup.given(options)
    if product is not None:
        found = context.api.pages("devices", limit=None, **{name: value})
        return (each for each in found if each["product_key"] == product)
    return listed(context.api, "devices", limit=limit, everything=everything, **{name: value})


def _listed(device: Mapping[str, Any]) -> str:
    return ", ".join(sorted(state.replace("_", "-") for state in device["states"]))


LISTED: output.Columns = {
    **{name: FOUND[name] for name in ("DEVICE", "API", "ACCOUNT/PRODUCT", "IDENTIFIER")},
    "STATE": _listed,
    "REGISTERED": "created_at",
}


@command(app, name="list", columns=LISTED)
def list_devices(
    context: Context,
    product: lists.Product = None,
    account: lists.Account = None,
    api: lists.Api = None,
    state: lists.State = None,
    since: Since = None,
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List devices by the time of registration, or those in a state by the time since when.

    Lists are as of the last change in the history, usually seconds ago.
    """
    query = lists.query(product=product, account=account, api=api, state=state, since=since)
    return listed(context.api, "devices", limit=limit, everything=everything, **query)


@command(app, columns=ONLINE)
def online(context: Context, limit: Limit = 50, everything: All = False) -> Any:
    """List the connected devices, the longest connected first."""
    return listed(context.api, "devices", "online", limit=limit, everything=everything)


devices.show("Show a device and who holds it.")


@command(app, columns=events.OF_ONE)
def history(context: Context, device: Device, limit: Limit = 50, everything: All = False) -> Any:
    """Show what happened to a device, oldest first."""
    return listed(context.api, "history", "devices", device, limit=limit, everything=everything)


@command(app, done="Banned device {device}.")
def ban(context: Context, device: Device, reason: Reason) -> Any:
    """Ban a device: it can no longer be bound, added or connected to."""
    banned = context.api.post("devices", device, "ban", reason=reason)
    first = banned["ban"]
    if first["reason"] != reason.strip():
        output.note(
            f"The device was already banned at {output.word('at', first['at'])} by {first['by']}. "
            f"The original reason is kept: {first['reason']}"
        )
    return banned


@command(app, done="Deleted device {device}. Its history stays.")
def delete(context: Context, device: Device, yes: Yes = False) -> Any:
    """Delete an unbound device, with its ban, key, passings and service addresses. Its history stays.

    It can be imported or seen again. To keep a device out, ban it instead. To resume an interrupted deletion, run the
    same command again.
    """
    confirm(f"Permanently delete device {device}?", yes=yes)
    return deletion.repeat(context.api, "devices", device)


devices.action("unban", "Lift the ban on a device.", done="Lifted the ban on device {device}.")


@command(app, done="Ended the binding of device {device}.")
def unbind(
    context: Context,
    device: Device,
    reason: Reason,
    uid: Annotated[
        str | None, typer.Option(help="User id of the holder, if several users hold the device.", show_default=False)
    ] = None,
) -> Any:
    """End a device's binding without its holder's consent."""
    return context.api.ask("POST", "devices", device, "unbind", body={"reason": reason}, query={"uid": uid})


devices.action(
    "disable",
    "Prevent new bindings (quectel). Existing bindings are kept.",
    done="Device {device} can no longer be bound. Existing bindings are kept.",
)
devices.action("enable", "Allow new bindings again (quectel).", done="Device {device} can be bound.")
devices.action("activate", "Allow connections to a device.", done="Device {device} accepts connections.")
devices.action("deactivate", "Prevent connections to a device.", done="Device {device} no longer accepts connections.")


@command(app, once="key", done="Issued a key to device {device}. An earlier key no longer works.")
def key(context: Context, device: Device) -> Any:
    """Issue a key with which a device connects. It is shown only once, and replaces an earlier key."""
    return context.api.post("devices", device, "key")


devices.action(
    "revoke-key",
    "Revoke a device's key, and disconnect the device if it uses it.",
    done="Revoked the key of device {device}.",
)


@command(app, name="backfill-credentials", done="Examined {examined} entries, changed {changed} bindings.")
def backfill_credentials(context: Context, start: backfill.Start = None) -> Any:
    """Let devices that an earlier version bound connect with their deviceid (rufus) or authKey (quectel).

    Run it once after an upgrade. Running it again changes nothing.
    """
    return backfill.run(context.api, start)


def _services(device: Mapping[str, Any]) -> str:
    shown = (
        " ".join(str(service[name]) for name in ("address", "service", "port") if service[name] is not None)
        for service in device["services"]
    )
    return ", ".join(shown) or "none"


@command(app, done=lambda device: f"Service addresses of device {device['device']}: {_services(device)}")
def address(
    context: Context,
    device: Device,
    given: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="Service address to assign or remove.", show_default=False)
    ] = None,
    service: Annotated[
        Service | None,
        typer.Option(help="Type of the service. The agent's service with this name is opened.", show_default=False),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of the service on the device.", show_default=False)] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the service address, or all of them.")] = False,
) -> Any:
    """Assign a service address to a device, or remove addresses. A device can have 16."""
    if remove:
        return context.api.ask("DELETE", "devices", device, "address", query={"address": given})
    if given is None:
        raise Failure(Exit.USAGE, "specify either an address or --remove")
    body = {"address": given, "service": service, "port": port}
    return context.api.ask("PUT", "devices", device, "address", body=body)
