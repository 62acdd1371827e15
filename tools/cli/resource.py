"""Commands that most resources have."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

import typer

from tools.cli.command import All, Context, Limit, command, listed
from tools.cli.output import Columns


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
            _declared(page, text, owner | options, limit=50, everything=False)
        )

    def show(self, text: str) -> None:
        """Add a command that shows an entry."""

        def show(context: Context, **entry: str) -> Any:
            return context.api.get(self.path, *entry.values())

        command(self.app, name="show")(_declared(show, text, self.argument))

    def action(self, name: str, text: str, *, done: str) -> None:
        """Add a command that sends `POST /<resource>/<entry>/<name>`."""

        def act(context: Context, **entry: str) -> Any:
            return context.api.post(self.path, *entry.values(), name)

        command(self.app, name=name, done=done)(_declared(act, text, self.argument))


def _declared(function: Callable[..., Any], text: str, arguments: Mapping[str, Any], **defaults: Any) -> Any:
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
