"""Give bindings of an earlier version their credentials."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Client, Failure

REPORTED = 10_000
"""Entries between two messages."""

ATTEMPTS = 8

Start = Annotated[
    str | None, typer.Option("--from", help="Continue where an interrupted command stopped.", show_default=False)
]


class _Progress:
    """Entries examined, bindings changed, and where to continue."""

    def __init__(self, start: str | None) -> None:
        self.examined = self.changed = 0
        self.cursor = start

    def how_to_continue(self) -> str:
        """Return the command that continues from here."""
        place = "" if self.cursor is None else f" --from {self.cursor}"
        return f"bindery devices backfill-credentials{place}"


def run(api: Client, start: str | None) -> dict[str, Any]:
    """Send requests until every entry of the index was examined. Return the counts. Raises `Failure`."""
    progress = _Progress(start)
    told = REPORTED
    with _note_if_interrupted(progress):
        while True:
            body = {} if progress.cursor is None else {"cursor": progress.cursor}
            # A repeated request changes nothing, so it can be retried.
            done = api.ask("POST", "devices", "backfill-credentials", body=body, attempts=ATTEMPTS)
            progress.examined += done["examined"]
            progress.changed += done["changed"]
            progress.cursor = done["next"]
            if progress.cursor is None:
                return {"examined": progress.examined, "changed": progress.changed}
            if progress.examined >= told:
                told += REPORTED
                output.note(
                    f"Examined {progress.examined:,} entries, changed {progress.changed:,} bindings. "
                    f"To continue from here: {progress.how_to_continue()}"
                )


@contextmanager
def _note_if_interrupted(progress: _Progress) -> Iterator[None]:
    try:
        yield
    except (Failure, KeyboardInterrupt):
        output.note(
            f"Interrupted after {progress.examined:,} entries, with {progress.changed:,} bindings changed. "
            f"To continue: {progress.how_to_continue()}"
        )
        raise
