"""`bindery families`."""

from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, changes, command, group, listed

app = group("Families: quectel's home mode.")

Family = Annotated[str, typer.Argument(help="The family's id.")]
Member = Annotated[list[str] | None, typer.Option(help="A user who lives there (repeat for more).", show_default=False)]
Room = Annotated[list[str] | None, typer.Option(help="The id of a room (repeat for more).", show_default=False)]


@command(app, done="Created family {fid}.")
def create(
    api: Client,
    family: Family,
    owner: Annotated[str, typer.Option(help="The user who owns it.")],
    member: Member = None,
    room: Room = None,
) -> Any:
    """Create a family."""
    return api.post("families", fid=family, owner=owner, members=member or [], rooms=room or [])


@command(
    app,
    name="list",
    columns={
        "FAMILY": "fid",
        "OWNER": "owner",
        "MEMBERS": "members",
        "ROOMS": "rooms",
        "COMMON DEVICES": "common_count",
    },
)
def page(
    api: Client,
    owner: Annotated[str, typer.Argument(help="The user who owns them.")],
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List the families that a user owns, by id."""
    return listed(api, "families", limit=limit, everything=everything, owner=owner)


@command(app)
def show(api: Client, family: Family) -> Any:
    """Show one, with its common devices."""
    return api.get("families", family)


@command(app)
def change(
    api: Client,
    family: Family,
    member: Member = None,
    no_members: Annotated[bool, typer.Option("--no-members", help="Only its owner lives there.")] = False,
    room: Room = None,
    no_rooms: Annotated[bool, typer.Option("--no-rooms", help="It has no rooms.")] = False,
) -> Any:
    """Replace the members, the rooms, or both."""
    members = [] if no_members else member or None
    return api.ask("PATCH", "families", family, body=changes(members=members, rooms=[] if no_rooms else room or None))
