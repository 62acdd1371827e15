"""`bindery privacy`."""

from collections import Counter
from typing import Annotated, Any

import typer

from tools.cli.client import Exit, Failure
from tools.cli.command import Context, Yes, command, confirm, group

app = group("Export or erase everything stored about a person.")

User = Annotated[str, typer.Argument(help="User id.")]


@command(app)
def export(context: Context, user: User) -> Any:
    """Show everything stored about a user, except secrets."""
    return context.api.get("privacy", user)


@command(app)
def erase(context: Context, user: User, yes: Yes = False) -> Any:
    """Permanently delete everything stored about a user."""
    confirm(f"Permanently delete everything stored about {user}?", yes=yes)
    removed: Counter[str] = Counter()
    while True:
        try:
            answer = context.api.ask("DELETE", "privacy", user)
        except Failure as failure:
            # If the user record does not exist, 404 means that nothing is left.
            if failure.code is not Exit.NOT_FOUND or not removed:
                raise
            return {"uid": user, "removed": dict(removed), "complete": True}
        removed.update(answer["removed"])
        if answer["complete"]:
            return {**answer, "removed": dict(removed)}
