"""Look up the device that a command applies to."""

import base64
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import typer

from tools.cli.client import Client, Exit, Failure

Device = Annotated[
    str,
    typer.Argument(
        metavar="[DEVICE]", help="Device id. Or use --serial, --mac, --imei or --address.", show_default=False
    ),
]
Serial = Annotated[str | None, typer.Option(help="Serial number of the device.", show_default=False)]
Product = Annotated[
    str | None, typer.Option(help="With --serial: product key of the device (quectel).", show_default=False)
]
Mac = Annotated[str | None, typer.Option(help="MAC address of the device.", show_default=False)]
Imei = Annotated[str | None, typer.Option(help="External identifier of the device.", show_default=False)]
Address = Annotated[str | None, typer.Option(help="Service address of the device.", show_default=False)]


@dataclass(frozen=True)
class Options:
    """Options of every command that takes a device."""

    serial: Serial = None
    product: Product = None
    mac: Mac = None
    imei: Imei = None
    address: Address = None


_NAMES = {"serial": "serial number", "mac": "MAC address", "imei": "external identifier", "address": "service address"}
_APIS = ("rufus", "quectel", "asseco", "vodlix")
_GIVE = "--serial, --mac, --imei or --address"


def given(options: Mapping[str, str | None]) -> tuple[str, str]:
    """Return the lookup option's name and value. Raises `Failure` unless there is one."""
    found = [(name, value) for name, value in options.items() if name in _NAMES and value]
    if len(found) != 1:
        raise Failure(Exit.USAGE, f"specify one of {_GIVE}")
    if options.get("product") is not None and found[0][0] != "serial":
        raise Failure(Exit.USAGE, "--product can only be used with --serial")
    return found[0]


def device(api: Client, named: str | None, options: Mapping[str, str | None]) -> str:
    """Return the id of the device. Raises `Failure` unless exactly one is found."""
    if all(value is None for value in options.values()):
        if named is None:
            raise Failure(Exit.USAGE, f"no device. Specify its id or {_GIVE}")
        return checked(named)
    if named is not None:
        raise Failure(Exit.USAGE, f"specify the device id or {_GIVE}, not both")
    name, value = given(options)
    product = options.get("product")
    found = [
        each for each in api.pages("devices", limit=None, **{name: value}) if product in (None, each["product_key"])
    ]
    what = f"{_NAMES[name]} {value}" + ("" if product is None else f" in product {product}")
    if not found:
        hint = "\n  Serial numbers must match exactly, including case." if name == "serial" else ""
        raise Failure(Exit.NOT_FOUND, f"no device has {what}{hint}")
    if len(found) > 1:
        lines = [
            f"  {each['device']}  {each['dialect']}  {each['product_key'] or each['account'] or '-'}" for each in found
        ]
        raise Failure(
            Exit.USAGE, "\n".join([f"{len(found)} devices have {what}. Use --product or one of these ids:", *lines])
        )
    device_id: str = found[0]["device"]
    return device_id


def checked(text: str) -> str:
    """Return a text that is a device id. Raises `Failure` for any other."""
    if not is_device(text):
        raise Failure(
            Exit.USAGE,
            f"{text!r} is not a device id. To look up a serial number: "
            f"bindery devices find --serial {shlex.quote(text)}",
        )
    return text


def is_device(text: str) -> bool:
    """Return True if a text has the form of a device id."""
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return False
    return key.partition("#")[0] in _APIS
