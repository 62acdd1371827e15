"""`bindery issued`."""

import base64
import re
from typing import Annotated, Any

import typer

from tools.cli import imports
from tools.cli.client import Client
from tools.cli.command import All, Limit, changes, command, group, listed

app = group("Issued devices: a bank's cards and tokens (asseco).")

Customer = Annotated[str, typer.Argument(help="The customer, as the bank's issuer names them.")]


def _words(cell: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", cell) if word]


def _flag(cell: str) -> Any:
    return {"true": True, "false": False}.get(cell.strip().lower(), cell)


COLUMNS = imports.Columns(
    ("customer", "device_id", "kind"),
    (
        "holder_id",
        "capabilities",
        "status",
        "masked_card_number",
        "is_primary",
        "card_status",
        "cardholder_name",
        "delivery_date",
        "activation_date",
        "expiration_date",
        "card_kind",
        "card_brand",
        "card_image_url",
    ),
    {"capabilities": _words, "is_primary": _flag},
)


@command(app, name="import", failed=imports.failed)
def enter(
    api: Client,
    file: imports.File,
    form: imports.FileFormat = None,
    dry_run: imports.DryRun = False,
    errors: imports.Errors = None,
    restart: imports.Restart = False,
) -> Any:
    """Enter devices that a bank issued to its customers, or replace them.

    Columns: customer, device_id, kind, and what else there is to say of it. Several capabilities in a cell are parted
    by blanks. An import that was interrupted goes on when the same command is given again.
    """
    return imports.run(api, "issued-devices", COLUMNS, file, form=form, dry_run=dry_run, errors=errors, restart=restart)


@command(app, name="list")
def page(api: Client, customer: Customer, limit: Limit = 50, everything: All = False) -> Any:
    """List the devices issued to a customer, by id."""
    return listed(api, "issued-devices", limit=limit, everything=everything, customer=customer)


@command(app)
def status(
    api: Client,
    customer: Customer,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    status: Annotated[str | None, typer.Option(help="active, blocked or unregistered.", show_default=False)] = None,
    card_status: Annotated[
        str | None,
        typer.Option(help="inactive, valid, expired, blocked or reported-as-lost.", show_default=False),
    ] = None,
) -> Any:
    """Change what a device is good for."""
    given = changes(status=status, card_status=card_status)
    # The names of customers may have slashes: in a path they stand in base64, as the keys of devices do.
    named = base64.urlsafe_b64encode(customer.encode()).rstrip(b"=").decode()
    return api.ask("PATCH", "issued-devices", named, device, body=given)
