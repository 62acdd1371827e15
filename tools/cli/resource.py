"""Commands that most resources have."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from tools.cli.client import Exit, Failure
from tools.cli.command import All, Context, Limit, command, listed
from tools.cli.output import Columns

_RATE = {
    "per_second": Annotated[int | None, typer.Option(min=1, help="Requests per second.", show_default=False)],
    "burst": Annotated[
        int | None,
        typer.Option(min=1, help="Requests that may come at once. Default: those of a second.", show_default=False),
    ],
    "none": Annotated[bool, typer.Option("--none", help="Remove the limit.")],
}


class Resource:
    """Commands over the entries of a resource, with the argument for an entry's id."""

    def __init__(self, app: typer.Typer, path: str, **argument: Any) -> None:
        self.app, self.path, self.argument = app, path, argument

    def list(self, text: str, columns: Columns, **owner: Any) -> None:
        """Add a command that lists all entries, or those of an owner."""

        def page(context: Context, limit: int, everything: bool, **query: Any) -> Any:
            return listed(context.api, self.path, limit=limit, everything=everything, **query)

        options = {"limit": Limit, "everything": All}
        command(self.app, name="list", columns=columns)(
            declared(page, text, owner | options, limit=50, everything=False)
        )

    def show(self, text: str, done: Callable[[Any], str] | None = None) -> None:
        """Add a command that shows an entry, in a table as `done` writes it."""

        def show(context: Context, **entry: str) -> Any:
            return context.api.get(self.path, *entry.values())

        command(self.app, name="show", done=done)(declared(show, text, self.argument))

    def action(self, name: str, text: str, *, done: str) -> None:
        """Add a command that sends `POST /<resource>/<entry>/<name>`."""

        def act(context: Context, **entry: str) -> Any:
            return context.api.post(self.path, *entry.values(), name)

        command(self.app, name=name, done=done)(declared(act, text, self.argument))

    def limit(self, text: str) -> None:
        """Add a command that limits the requests per second of an entry."""

        def limit(context: Context, per_second: int | None, burst: int | None, none: bool, **entry: str) -> Any:
            if (per_second is None) is not none or (none and burst is not None):
                raise Failure(Exit.USAGE, "specify either --per-second (and --burst) or --none")
            path = (self.path, *entry.values(), "limit")
            if none:
                return context.api.ask("DELETE", *path)
            return context.api.ask("PUT", *path, body={"per_second": per_second, "burst": burst})

        options = self.argument | _RATE
        command(self.app, done=_limited)(declared(limit, text, options, per_second=None, burst=None, none=False))


def _limited(entry: Mapping[str, Any]) -> str:
    if entry["per_second"] is None:
        return "No limit."
    return f"Limited to {entry['per_second']} requests per second, {entry['burst']} at once."


def declared(function: Callable[..., Any], text: str, arguments: Mapping[str, Any], **defaults: Any) -> Any:
    """Give a function the help and parameters that typer reads."""
    hints = {"context": Context, **arguments}
    parameters = [
        Parameter(
            name, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, Parameter.empty), annotation=annotation
        )
        for name, annotation in hints.items()
    ]
    function.__doc__, function.__annotations__ = text, hints
    function.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return function
