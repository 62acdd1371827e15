"""What makes a function a command: the options that every command has, what it prints, and how it fails."""

import inspect
import sys
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from tools.cli import client, output
from tools.cli.client import Client, Failure
from tools.cli.output import Format

Endpoint = Annotated[
    str | None,
    typer.Option(help="The API's base URL. Default: BINDERY_ENDPOINT, else the local server.", show_default=False),
]
Profile = Annotated[str | None, typer.Option(help="The AWS profile that signs.", show_default=False)]
Region = Annotated[str | None, typer.Option(help="The API's AWS region, if its URL does not tell.", show_default=False)]
Output = Annotated[
    Format | None, typer.Option(help="Default: table on a terminal, json elsewhere.", show_default=False)
]
COMMON = {"endpoint": Endpoint, "profile": Profile, "region": Region, "output": Output}

Limit = Annotated[int, typer.Option(min=1, help="How many entries at most.")]
All = Annotated[bool, typer.Option("--all", help="Every entry, however many.")]


def group(text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=text, no_args_is_help=True)


def command(
    app: typer.Typer,
    *,
    name: str | None = None,
    once: str | None = None,
    failed: Callable[[Any], bool] = lambda answer: False,
) -> Callable[[Any], Any]:
    """Make a function a command of a group: it takes the client first, and what it returns is printed.

    `once` names the member of the answer that is a secret, shown this once; `failed` says whether an answer that is
    printed as any other ends the command with exit code 1.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        _, *given = inspect.signature(function).parameters.values()

        @wraps(function)
        def run(endpoint: Endpoint, profile: Profile, region: Region, output: Output, **arguments: Any) -> None:
            _run(function, (endpoint, profile, region), output, once, failed, arguments)

        extra = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
            for name, hint in COMMON.items()
        ]
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in given
        ]
        signature = inspect.Signature([*own, *extra])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        del run.__wrapped__
        app.command(name)(run)
        return function

    return register


def _run(
    function: Callable[..., Any],
    where: tuple[str | None, str | None, str | None],
    form: Format | None,
    once: str | None,
    failed: Callable[[Any], bool],
    arguments: dict[str, Any],
) -> None:
    try:
        with closing(client.connect(*where)) as api:
            answer = function(api, **arguments)
            output.show(answer, form)
        if once is not None:
            output.note(f"The {once} is shown this once: keep it now, nobody can show it again.")
        if failed(answer):
            raise typer.Exit(client.Exit.REFUSED)
    except Failure as failure:
        output.note(f"bindery: {failure.text}")
        raise typer.Exit(failure.code) from None


def listed(api: Client, *path: str, limit: int, everything: bool, **query: Any) -> Any:
    """What a list command returns."""
    return api.pages(*path, limit=None if everything else limit, **query)


def changes(**members: Any) -> dict[str, Any]:
    """The members that were given. An empty text takes a value away. Raises `Failure`: there is none."""
    given = {name: None if value == "" else value for name, value in members.items() if value is not None}
    if not given:
        raise Failure(client.Exit.USAGE, "what is to change? See --help")
    return given


def confidential(what: str) -> str:
    """What no command line may hold: asked for on a terminal, else the first line of the standard input.

    Raises `Failure`: there is none.
    """
    if sys.stdin.isatty():
        given: str = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise Failure(client.Exit.USAGE, f"no {what.lower()} was given")
    return given
