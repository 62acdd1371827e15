"""`bindery families`."""

from typing import Annotated, Any

import typer

from tools.cli import deletion
from tools.cli.command import Context, Yes, changes, command, group
from tools.cli.resource import Resource

app = group("Manage families and their rooms (quectel home mode).")

Family = Annotated[str, typer.Argument(help="Family id.")]
Member = Annotated[list[str] | None, typer.Option(help="User id of a member (can be repeated).", show_default=False)]
Room = Annotated[list[str] | None, typer.Option(help="Room id (can be repeated).", show_default=False)]
families = Resource(app, "families", family=Family)


@command(app, done="Created family {fid}.")
def create(
    context: Context,
    family: Family,
    owner: Annotated[str, typer.Option(help="User id of the owner.")],
    member: Member = None,
    room: Room = None,
) -> Any:
    """Create a family."""
    return context.api.post("families", fid=family, owner=owner, members=member or [], rooms=room or [])


families.list(
    "List the families that a user owns, sorted by id.",
    {
        "FAMILY": "fid",
        "OWNER": "owner",
        "MEMBERS": "members",
        "ROOMS": "rooms",
        "COMMON DEVICES": "common_count",
    },
    owner=Annotated[str, typer.Argument(help="User id of the owner.")],
)
families.show("Show a family and its common devices.")


@command(app)
def change(
    context: Context,
    family: Family,
    member: Member = None,
    no_members: Annotated[bool, typer.Option("--no-members", help="Remove all members.")] = False,
    room: Room = None,
    no_rooms: Annotated[bool, typer.Option("--no-rooms", help="Remove all rooms.")] = False,
) -> Any:
    """Replace the members, the rooms, or both."""
    members = [] if no_members else member or None
    return context.api.ask(
        "PATCH", "families", family, body=changes(members=members, rooms=[] if no_rooms else room or None)
    )


@command(app, done=deletion.told)
def delete(context: Context, family: Family, cascade: deletion.Cascade = False, yes: Yes = False) -> Any:
    """Delete a family that has no members beside its owner, or with --cascade one with members, who keep their devices.

    Its id cannot be used again. Example: bindery families delete F1
    """
    return deletion.run(context.api, "families", family, deletion.of_family, cascade=cascade, yes=yes)
