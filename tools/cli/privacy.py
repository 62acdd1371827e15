"""`bindery privacy`."""

from collections import Counter
from typing import Annotated, Any

import typer

from tools.cli.client import Client, Exit, Failure
from tools.cli.command import Yes, command, confirm, group

app = group("What is held about a user.")

User = Annotated[str, typer.Argument(help="The user's id.")]


@command(app)
def export(api: Client, user: User) -> Any:
    """Show everything that is held about a user, but for secrets."""
    return api.get("privacy", user)


@command(app)
def erase(api: Client, user: User, yes: Yes = False) -> Any:
    """Permanently remove everything that is stored about a user."""
    confirm(f"Permanently remove everything that is stored about {user}?", yes=yes)
    removed: Counter[str] = Counter()
    while True:
        try:
            answer = api.ask("DELETE", "privacy", user)
        except Failure as failure:
            # Without the user's own record, the end is that nothing is found.
            if failure.code is not Exit.NOT_FOUND or not removed:
                raise
            return {"uid": user, "removed": dict(removed), "complete": True}
        removed.update(answer["removed"])
        if answer["complete"]:
            return {**answer, "removed": dict(removed)}
