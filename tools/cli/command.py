"""Options, output and error handling of all commands."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer
from typer.models import ArgumentInfo

from tools.cli import client, lookup, output
from tools.cli.client import Client, Failure
from tools.cli.output import Columns, Format

Endpoint = Annotated[
    str | None,
    typer.Option(help="Base URL of the API. Default: BINDERY_ENDPOINT, else the local server.", show_default=False),
]
Profile = Annotated[str | None, typer.Option(help="AWS profile to sign requests with.", show_default=False)]
Region = Annotated[
    str | None, typer.Option(help="AWS region of the API, if its URL does not contain it.", show_default=False)
]
Output = Annotated[
    Format | None, typer.Option(help="Output format. Default: table on a terminal, otherwise json.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the secret.")]
COMMON: Mapping[str, Any] = {"endpoint": Endpoint, "profile": Profile, "region": Region, "output": Output}

Limit = Annotated[int, typer.Option(min=1, help="Maximum number of entries.")]
All = Annotated[bool, typer.Option("--all", help="List all entries.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def group(text: str) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(help=text, no_args_is_help=True)


def command(
    app: typer.Typer,
    *,
    name: str | None = None,
    once: str | None = None,
    columns: Columns | None = None,
    done: str | Callable[[Any], str] | None = None,
    failed: Callable[[Any], bool] = lambda answer: False,
) -> Callable[[Any], Any]:
    """Add a function to a group as a command. Its first argument is the client; its result is printed.

    `once` is the member with a secret. In a table, `done` (a template or a function of the result) replaces a record.
    If `failed(result)`, the exit code is 1. Lookup options can replace a `device` argument.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        _, *given = inspect.signature(function).parameters.values()
        located = hints.get("device") == lookup.Device
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in given
        ]
        behind = [parameter for parameter in own if located and parameter.name != "device" and _positional(parameter)]
        # Checked here and not by typer, because the arguments after the device can move up.
        own = [
            parameter.replace(default=None)
            if parameter in behind or (located and parameter.name == "device")
            else parameter
            for parameter in own
        ]
        required = [parameter.name for parameter in behind if parameter.default is inspect.Parameter.empty]

        @wraps(function)
        def run(
            endpoint: Endpoint, profile: Profile, region: Region, output: Output, quiet: bool = False, **arguments: Any
        ) -> None:
            def work(api: Client) -> Any:
                if located:
                    _locate(api, arguments, [parameter.name for parameter in behind], required)
                return function(api, **arguments)

            _run(work, (endpoint, profile, region), failed, lambda answer: _print(answer, output, quiet, arguments))

        def _print(answer: Any, form: Format | None, quiet: bool, arguments: Mapping[str, Any]) -> None:
            told = None
            if done is not None and not isinstance(answer, Iterator):
                members = {name: output.word(name, value) for name, value in {**arguments, **answer}.items()}
                told = done.format_map(members) if isinstance(done, str) else done(answer)
            output.show(answer, form, columns=columns, done=told, secret=once, quiet=quiet)

        extra = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
            for name, hint in {**(lookup.OPTIONS if located else {}), **COMMON}.items()
        ]
        if once is not None:
            extra.append(inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet))
        signature = inspect.Signature([*own, *extra])
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        del run.__wrapped__
        app.command(name)(run)
        return function

    return register


def _positional(parameter: inspect.Parameter) -> bool:
    return any(isinstance(about, ArgumentInfo) for about in getattr(parameter.annotation, "__metadata__", ()))


def _locate(api: Client, arguments: dict[str, Any], behind: list[str], required: list[str]) -> None:
    """Replace lookup options with the device's id."""
    options = {name: arguments.pop(name) for name in lookup.OPTIONS}
    if behind and any(value is not None for value in options.values()) and arguments[behind[-1]] is None:
        places = ["device", *behind]
        moved = [None, *(arguments[place] for place in places[:-1])]
        arguments.update(zip(places, moved, strict=True))
    for name in required:
        if arguments[name] is None:
            raise Failure(client.Exit.USAGE, f"Missing argument '{name.upper()}'")
    arguments["device"] = lookup.device(api, arguments["device"], options)


def _run(
    work: Callable[[Client], Any],
    where: tuple[str | None, str | None, str | None],
    failed: Callable[[Any], bool],
    show: Callable[[Any], None],
) -> None:
    try:
        with closing(client.connect(*where)) as api:
            answer = work(api)
            show(answer)
        if failed(answer):
            raise typer.Exit(client.Exit.REFUSED)
    except Failure as failure:
        output.note(f"bindery: {failure.text}")
        raise typer.Exit(failure.code) from None


def listed(api: Client, *path: str, limit: int, everything: bool, **query: Any) -> Any:
    """Return the result of a list command."""
    return api.pages(*path, limit=None if everything else limit, **query)


def changes(**members: Any) -> dict[str, Any]:
    """Return the specified members, with None for empty text. Raises `Failure` if there are none."""
    given = {name: None if value == "" else value for name, value in members.items() if value is not None}
    if not given:
        raise Failure(client.Exit.USAGE, "nothing to change. Specify at least one option (see --help)")
    return given


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation. Raises `Failure` without a terminal or --yes."""
    if not yes:
        if not sys.stdin.isatty():
            raise Failure(client.Exit.USAGE, "this cannot be undone. Confirm with --yes")
        typer.confirm(output.escape(question), abort=True, err=True)


def confidential(what: str) -> str:
    """Prompt for a secret, or read it from standard input. Raises `Failure` if it is empty."""
    if sys.stdin.isatty():
        given: str = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise Failure(client.Exit.USAGE, f"no {what.lower()} on standard input")
    return given
