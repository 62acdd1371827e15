"""`bindery devices`: change of owner, lost and found, retirement, and return to stock."""

from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.command import Context, command
from tools.cli.devices import Reason, app, devices
from tools.cli.lookup import Device

Receiver = Annotated[str, typer.Option(help="User id of the user to whom the device is offered.")]


@command(app, done=lambda device: f"Offered device {device['device']} {_until(device)}.")
def offer(
    context: Context,
    device: Device,
    to: Receiver,
    days: Annotated[int, typer.Option(min=1, max=30, help="Days in which the user can accept.")] = 7,
) -> Any:
    """Offer a device to another user, for its holder (quectel, if only one user can hold it)."""
    return context.api.post("devices", device, "offer", to=to, days=days)


def _until(device: Any) -> str:
    return f"to {device['offer']['to']} until {output.word('at', device['offer']['expires_at'])}"


@command(app, done="{uid} is the holder of device {device}.")
def accept(
    context: Context,
    device: Device,
    uid: Receiver,
    family: Annotated[str | None, typer.Option(help="In home mode: a family of the user.", show_default=False)] = None,
    room: Annotated[str | None, typer.Option(help="In home mode: a room of the family.", show_default=False)] = None,
) -> Any:
    """Accept an offer for its user, who becomes the holder.

    The last holder's shares and connections end, and the device connects with a new authKey. A device key is revoked.
    """
    return context.api.post("devices", device, "accept", uid=uid, fid=family, frid=room)


@command(app, done="{uid} declined device {device}.")
def decline(context: Context, device: Device, uid: Receiver) -> Any:
    """Decline an offer for its user."""
    return context.api.post("devices", device, "decline", uid=uid)


devices.action(
    "withdraw",
    "Withdraw an offer for the holder who made it.",
    done="Withdrew the offer of device {device}.",
)


@command(app, done="Device {device} is lost. Its holder keeps it.")
def lost(context: Context, device: Device, reason: Reason) -> Any:
    """Record that a device is lost: its holder keeps it, but it cannot be bound, added or connected to."""
    return context.api.post("devices", device, "lost", reason=reason)


devices.action(
    "found",
    "Record that a lost device was found: it can be used again.",
    done="Device {device} can be used again.",
)


@command(app, done="Retired device {device}. It has no holder.")
def retire(context: Context, device: Device, reason: Reason) -> Any:
    """End a device's bindings and take it out of use, until it is returned to stock."""
    return context.api.post("devices", device, "retire", reason=reason)


@command(app, name="return", done=lambda device: f"Device {device['device']} {_returned(device)}.")
def take_back(context: Context, device: Device, reason: Reason) -> Any:
    """Return a device to stock: end its bindings, and revoke its device key.

    A lost or retired device can be used again. A banned one stays banned.
    """
    return context.api.post("devices", device, "return", reason=reason)


def _returned(device: Any) -> str:
    return "has no holder, and stays banned" if device["state"] == "banned" else "is in stock"
