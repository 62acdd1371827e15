"""Options, output and error handling of all commands."""

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand

from tools.cli import client, lookup, output
from tools.cli.client import Client, Failure
from tools.cli.output import Columns, Format

_PANEL = "Endpoint and output"

Endpoint = Annotated[
    str | None,
    typer.Option(
        help="Base URL of the API. Default: BINDERY_ENDPOINT, else the local server.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(help="AWS profile to sign requests with.", show_default=False, rich_help_panel=_PANEL),
]
Region = Annotated[
    str | None,
    typer.Option(
        help="AWS region of the API, if its URL does not contain it.", show_default=False, rich_help_panel=_PANEL
    ),
]
Output = Annotated[
    Format | None,
    typer.Option(
        help="Output format. Default: table on a terminal, otherwise json.", show_default=False, rich_help_panel=_PANEL
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the secret.")]

Limit = Annotated[int, typer.Option(min=1, help="Maximum number of entries.")]
All = Annotated[bool, typer.Option("--all", help="List all entries.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@dataclass(frozen=True)
class Options:
    """Options of every command; `quiet` only if it prints a secret."""

    endpoint: Endpoint = None
    profile: Profile = None
    region: Region = None
    output: Output = None
    quiet: Quiet = False


@dataclass(frozen=True)
class Result:
    """Format of a command's result. See `command`."""

    once: str | None
    columns: Columns | None
    done: str | Callable[[Any], str] | None
    failed: Callable[[Any], bool]
    line: Callable[[Any], str] | None
    endless: bool

    def show(self, answer: Any, options: Options, arguments: Mapping[str, Any]) -> None:
        """Print a result, or nothing if the command has written its output."""
        if answer is None:
            return
        if self.line is not None and isinstance(answer, Generator):
            with suppress(*[KeyboardInterrupt] * self.endless):
                output.stream(answer, options.output, self.line)
            return
        told = None
        if self.done is not None and not isinstance(answer, Iterator):
            members = {name: output.word(name, value) for name, value in {**arguments, **answer}.items()}
            told = self.done.format_map(members) if isinstance(self.done, str) else self.done(answer)
        output.show(answer, options.output, columns=self.columns, done=told, secret=self.once, quiet=options.quiet)


class Context(typer.Context):
    """Context of a command."""

    api: Client
    """Connected client."""
    obj: Result


def _parameters(declared: Callable[..., Any]) -> list[Any]:
    """Return typer's objects for the parameters of a function or dataclass."""
    app = typer.Typer(add_completion=False)
    app.command()(declared)
    return typer.main.get_command(app).params


_OPTIONS = _parameters(Options)
_LOOKUP = _parameters(lookup.Options)


class ApiCommand(TyperCommand):
    """Command that calls the API and prints the result."""

    context_class = Context

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        unused = {parameter.name for parameter in self.params}
        if self.context_settings["obj"].once is None:
            unused.add("quiet")
        self.params += [option for option in _OPTIONS if option.name not in unused]

    def invoke(self, context: Context) -> None:  # type: ignore[override]  # made by context_class
        """Run the command."""
        options = Options(
            **{option.name: context.params.pop(option.name) for option in _OPTIONS if option in self.params}
        )
        try:
            with closing(client.connect(options.endpoint, options.profile, options.region)) as context.api:
                self.locate(context)
                answer = super().invoke(context)
                context.obj.show(answer, options, context.params)
            if context.obj.failed(answer):
                raise typer.Exit(client.Exit.REFUSED)
        except Failure as failure:
            output.note(f"bindery: {failure.text}")
            raise typer.Exit(failure.code) from None

    def locate(self, context: Context) -> None:
        """Look up the device of a command that has one."""


class DeviceCommand(ApiCommand):
    """Command with a device as its first argument. If lookup options replace it, the other arguments move up."""

    def __init__(self, name: str | None, *, params: list[Any], **settings: Any) -> None:
        arguments = [parameter for parameter in params if isinstance(parameter, TyperArgument)]
        self._behind = [argument.name for argument in arguments[1:]]
        self._required = [argument.name for argument in arguments[1:] if argument.required]
        for argument in arguments:
            argument.required = False
        super().__init__(name, params=[*params, *_LOOKUP], **settings)

    def locate(self, context: Context) -> None:
        """Replace lookup options with the device's id."""
        arguments = context.params
        options = {option.name: arguments.pop(option.name) for option in _LOOKUP}
        behind = self._behind
        if behind and any(value is not None for value in options.values()) and arguments[behind[-1]] is None:
            places = ["device", *behind]
            moved = [None, *(arguments[place] for place in places[:-1])]
            arguments.update(zip(places, moved, strict=True))
        for name in self._required:
            if arguments[name] is None:
                raise Failure(client.Exit.USAGE, f"Missing argument '{name.upper()}'")
        arguments["device"] = lookup.device(context.api, arguments["device"], options)


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
    line: Callable[[Any], str] | None = None,
    endless: bool = False,
) -> Callable[[Any], Any]:
    """Add a function of a `Context` to a group, as a command that prints the result.

    `once` is the member with a secret. In a table, `done` (a template or a function of the result) replaces a record.
    If `failed(result)`, the exit code is 1. With `line`, the entries of a result are printed one by one, as a line of
    text or of JSON. A command that is `endless` ends normally with Ctrl-C.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        located = lookup.Device in get_type_hints(function, include_extras=True).values()
        app.command(
            name,
            cls=DeviceCommand if located else ApiCommand,
            context_settings={"obj": Result(once, columns, done, failed, line, endless)},
        )(function)
        return function

    return register


def exit_on_failure(function: Callable[..., None]) -> Callable[..., None]:
    """Print a failure of a command that does not call the admin API, and exit with its code."""

    @wraps(function)
    def run(**arguments: Any) -> None:
        try:
            function(**arguments)
        except Failure as failure:
            output.note(f"bindery: {failure.text}")
            raise typer.Exit(failure.code) from None

    return run


def listed(api: Client, /, *path: str, limit: int, everything: bool, **query: Any) -> Any:
    """Return the result of a list command."""
    return api.pages(*path, limit=None if everything else limit, **query)


def changes(**members: Any) -> dict[str, Any]:
    """Return the specified members, with None for empty text. Raises `Failure` without any."""
    given = {name: None if value == "" else value for name, value in members.items() if value is not None}
    if not given:
        raise Failure(client.Exit.USAGE, "nothing to change. Specify at least one option (see --help)")
    return given


def confirm(question: str, *, yes: bool, why: str = "this cannot be undone") -> None:
    """Ask for confirmation. Raises `Failure` without a terminal or --yes."""
    if not yes:
        if not sys.stdin.isatty():
            raise Failure(client.Exit.USAGE, f"{why}. Confirm with --yes")
        typer.confirm(output.escape(question), abort=True, err=True)


def confidential(what: str) -> str:
    """Prompt for a secret, or read it from standard input. Raises `Failure` if empty."""
    if sys.stdin.isatty():
        given: str = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise Failure(client.Exit.USAGE, f"no {what.lower()} on standard input")
    return given
