"""Options that select devices by product, account, API and state."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Exit, Failure
from tools.cli.times import moment


class StateName(StrEnum):
    """State of a device."""

    BOUND = "bound"
    UNBOUND = "unbound"
    NEVER_SEEN = "never-seen"
    ONLINE = "online"
    BANNED = "banned"
    DISABLED = "disabled"
    INACTIVE = "inactive"
    LOST = "lost"
    RETIRED = "retired"


class ApiName(StrEnum):
    """API to which devices belong."""

    RUFUS = "rufus"
    QUECTEL = "quectel"
    ASSECO = "asseco"
    VODLIX = "vodlix"


Product = Annotated[str | None, typer.Option(help="Only devices of this product (quectel).", show_default=False)]
Account = Annotated[str | None, typer.Option(help="Only devices of this account (rufus).", show_default=False)]
Api = Annotated[ApiName | None, typer.Option(help="Only devices of this API.", show_default=False)]
State = Annotated[
    StateName | None,
    typer.Option(
        help="Only devices in this state. never-seen: not bound so far; unbound: no longer bound.", show_default=False
    ),
]


def query(
    *, product: str | None, account: str | None, api: ApiName | None, state: StateName | None, since: str | None
) -> dict[str, Any]:
    """Return the query that selects these devices. Raises `Failure`."""
    if sum(given is not None for given in (product, account, api)) > 1:
        raise Failure(Exit.USAGE, "specify at most one of --product, --account and --api")
    return {
        "product": product,
        "account": account,
        "api": api,
        "state": None if state is None else state.replace("-", "_"),
        "since": moment(since),
    }
