"""`bindery issued`."""

import base64
import re
from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli import bulk_import, import_report
from tools.cli import history as events
from tools.cli.command import All, Context, Limit, changes, command, group
from tools.cli.import_rows import Columns
from tools.cli.resource import Resource

app = group("Manage cards and tokens issued by a bank (asseco).")


class Status(StrEnum):
    """Status of an issued device."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    UNREGISTERED = "unregistered"


class CardStatus(StrEnum):
    """Status of a payment card."""

    INACTIVE = "inactive"
    VALID = "valid"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    REPORTED_AS_LOST = "reported-as-lost"


Customer = Annotated[str, typer.Argument(help="Customer id, as in the issuer's tokens.")]


def _words(cell: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", cell) if word]


def _flag(cell: str) -> Any:
    return {"true": True, "false": False}.get(cell.strip().lower(), cell)


COLUMNS = Columns(
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
    identity=("customer", "device_id"),
)


issued = Resource(app, "issued-devices")


@command(app, name="import", failed=import_report.failed, done=import_report.summary)
def enter(
    context: Context,
    file: bulk_import.File,
    form: bulk_import.FileFormat = None,
    dry_run: bulk_import.DryRun = False,
    errors: bulk_import.Errors = None,
    restart: bulk_import.Restart = False,
) -> Any:
    """Import devices that a bank issued to its customers. Existing records are replaced.

    Columns: customer, device_id, kind; optional columns: see docs/operating.md.
    To resume an interrupted import, run the same command again.
    """
    return bulk_import.run(
        context.api, "issued-devices", COLUMNS, file, form=form, dry_run=dry_run, errors=errors, restart=restart
    )


issued.list(
    "List the devices issued to a customer, sorted by id.",
    {
        "DEVICE": "device_id",
        "KIND": "kind",
        "STATUS": "status",
        "CARD STATUS": "card_status",
        "EXPIRES": "expiration_date",
        "NICKNAME": "nickname",
    },
    customer=Customer,
)


@command(app, columns=events.ALL)
def history(context: Context, customer: Customer, limit: Limit = 50, everything: All = False) -> Any:
    """Show the events that concern a customer, oldest first, and the customer's pseudonym in them."""
    return events.of_person(context.api, "customers", encoded(customer), limit=limit, everything=everything)


@command(app)
def status(
    context: Context,
    customer: Customer,
    device: Annotated[str, typer.Argument(help="Device id.")],
    status: Annotated[Status | None, typer.Option(help="Status of the device.", show_default=False)] = None,
    card_status: Annotated[
        CardStatus | None, typer.Option(help="Status of the payment card.", show_default=False)
    ] = None,
) -> Any:
    """Change the status of an issued device."""
    given = changes(status=status, card_status=card_status)
    return context.api.ask("PATCH", "issued-devices", encoded(customer), device, body=given)


def encoded(customer: str) -> str:
    """Return a customer id for a path: it can contain slashes."""
    return base64.urlsafe_b64encode(customer.encode()).rstrip(b"=").decode()
