"""`bindery privacy`."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from tools.cli import output
from tools.cli.client import Exit, Failure
from tools.cli.command import Context, Yes, command, confirm, group
from tools.cli.issued import encoded

app = group("Export or erase everything stored about a person.")

User = Annotated[str | None, typer.Argument(help="User id.", show_default=False)]
Customer = Annotated[
    str | None,
    typer.Option(help="Instead: a bank's customer, as in the issuer's tokens (asseco).", show_default=False),
]
NewFile = Annotated[Path | None, typer.Option("--file", help="New file. Default: standard output.", show_default=False)]
ATTEMPTS = 5


def _exported(answer: Mapping[str, Any]) -> str:
    if "file" not in answer:
        return "\n".join(output.lines(answer))
    complete = "" if answer["complete"] else " It is incomplete: a kind has more than 1,000 records."
    return f"Exported {answer['records']} records to {answer['file']}.{complete}"


@command(app, done=_exported)
def export(context: Context, user: User = None, customer: Customer = None, file: NewFile = None) -> Any:
    """Show everything stored about a person, except secrets, and where it comes from.

    The file is JSON. Its part `about` says of each kind of data what it is, from
    whom it comes, how long it is kept, and who receives events.
    """
    path = _path(user, customer)
    if file is None:
        return context.api.get(*path)
    with _new(file) as opened:
        found = context.api.get(*path)
        json.dump(found, opened, indent=2, ensure_ascii=False)
        opened.write("\n")
    records = sum(len(kept) for kept in found.values() if isinstance(kept, list)) + (found["user"] is not None)
    return {"file": str(file), "records": records, "complete": found["complete"]}


@command(app)
def erase(
    context: Context,
    user: User = None,
    customer: Customer = None,
    receipt: Annotated[
        Path | None, typer.Option(help="New file for the receipt, which `verify` checks.", show_default=False)
    ] = None,
    yes: Yes = False,
) -> Any:
    """Permanently delete everything stored about a person, and print a signed receipt.

    To resume an interrupted erasure, run the same command again. The receipt
    then has only what was removed since.
    """
    path = _path(user, customer)
    confirm(f"Permanently delete everything stored about {user or customer}?", yes=yes)
    if receipt is None:
        return _erase(context, path)
    with _new(receipt) as opened:
        erased = _erase(context, path)
        json.dump(erased["receipt"], opened, indent=2)
        opened.write("\n")
    return {**erased, "file": str(receipt)}


def _erase(context: Context, path: tuple[str, ...]) -> dict[str, Any]:
    removed: Counter[str] = Counter()
    progress = None
    while True:
        answer = context.api.ask("DELETE", *path, query={"progress": progress}, attempts=ATTEMPTS)
        progress = answer.pop("progress")
        removed.update(answer["removed"])
        if answer["complete"]:
            return {**answer, "removed": dict(removed)}


def _verified(answer: Mapping[str, Any]) -> str:
    if not answer["genuine"]:
        return "The receipt is not genuine: it was changed, or is of another installation or another secret."
    stored = ", ".join(f"{number} {kind}" for kind, number in answer["stored"].items() if number)
    if not stored:
        return "The receipt is genuine, and nothing is stored about this person."
    again = answer["created_at"] and f" A user with this id was created at {output.word('at', answer['created_at'])}."
    return f"The receipt is genuine, but data is stored about this person: {stored}.{again or ''}"


@command(app, done=_verified, failed=lambda answer: not answer["genuine"] or any(answer["stored"].values()))
def verify(context: Context, receipt: Annotated[Path, typer.Argument(help="File with the receipt.")]) -> Any:
    """Check that a receipt is genuine, and that nothing is stored about the person now.

    The exit code is 1 if not.
    """
    try:
        facts = json.loads(receipt.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(Exit.USAGE, f"cannot read a receipt from {receipt}: {error}") from None
    if not isinstance(facts, dict):
        raise Failure(Exit.USAGE, f"{receipt} is not a receipt")
    return context.api.ask("POST", "privacy", "receipts", body=facts)


def _path(user: str | None, customer: str | None) -> tuple[str, ...]:
    """Return the path of a person. Raises `Failure` unless there is one."""
    if (user is None) is (customer is None):
        raise Failure(Exit.USAGE, "specify either a user or --customer")
    return ("privacy", user) if user is not None else ("privacy", "customers", encoded(str(customer)))


@contextmanager
def _new(file: Path) -> Iterator[IO[str]]:
    """Create a file that only its owner can read. Remove it on failure."""
    try:
        file.touch(0o600, exist_ok=False)
    except OSError as error:
        raise Failure(Exit.USAGE, f"{file}: {error.strerror or error}") from None
    try:
        with file.open("w", encoding="utf-8") as opened:
            yield opened
    except BaseException:
        file.unlink()
        raise
