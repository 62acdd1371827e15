"""`bindery keys`."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli import deletion, output
from tools.cli.accounts import Account
from tools.cli.command import Context, Yes, command, confidential, group
from tools.cli.resource import Resource

COLUMNS: output.Columns = {
    "ID": "id",
    "API": "kind",
    "GRANT": "grant",
    "ALIAS": "alias",
    "STATE": lambda key: _state(key),
    "LAST USED": "last_used",
}
app = group("Manage API keys (rufus) and developer keys (remoteit).")

Key = Annotated[str, typer.Argument(help="Key id (not the key itself).")]


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return "revoked"
    if not key["expires_at"]:
        return "valid"
    verb = "expires" if key["expires_at"] > time.time() * 1000 else "expired"
    return f"{verb} {output.word('at', key['expires_at'])}"


class Kind(StrEnum):
    """API that accepts a key."""

    RUFUS = "rufus"
    REMOTEIT = "remoteit"


class Grant(StrEnum):
    """Permissions of a key."""

    READ = "READ"
    WRITE = "WRITE"
    READ_WRITE = "READ_WRITE"


keys = Resource(app, "keys", key=Key)


@command(app, once="key", done="Created {kind} key {id} for account {account}.")
def create(
    context: Context,
    account: Account,
    kind: Annotated[Kind, typer.Option(help="API that accepts the key.")],
    alias: Annotated[str, typer.Option(help="Name of the key.")],
    grant: Annotated[Grant, typer.Option(help="Permissions of the key (rufus only).")] = Grant.READ_WRITE,
    unbind: Annotated[bool, typer.Option("--unbind", help="Allow the key to unbind devices (rufus only).")] = False,
    expires_at: Annotated[
        datetime | None, typer.Option("--expires", help="Expiration time (UTC). Default: never.", show_default=False)
    ] = None,
    given: Annotated[
        bool, typer.Option("--given", help="Enter the key (prompt or standard input). Default: a random one.")
    ] = False,
) -> Any:
    """Create a key, or enter one that released apps already have. It is shown only once."""
    members: dict[str, Any] = {"account": account, "kind": kind, "grant": grant, "unbind": unbind, "alias": alias}
    if expires_at is not None:
        members["expires_at"] = int(expires_at.replace(tzinfo=UTC).timestamp() * 1000)
    if given:
        members["key"] = confidential("Key")
    return context.api.post("keys", **members)


keys.list("List an account's keys, including revoked and expired ones.", COLUMNS, account=Account)
keys.show("Show a key.")


@command(app, once="key", done="Created {kind} key {id} with the same permissions as the key that it replaces.")
def rotate(
    context: Context,
    key: Key,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds until the old key expires.")] = 86400,
) -> Any:
    """Replace a key with a new one, which is shown only once. The old key expires after the overlap."""
    return context.api.post("keys", key, "rotate", overlap_seconds=overlap)


keys.limit("Limit the requests per second of a key, or remove the limit. A successor has the same limit.")
keys.action("revoke", "Revoke a key, effective immediately.", done="Revoked key {id}.")


@command(app, done=deletion.told)
def delete(context: Context, key: Key, yes: Yes = False) -> Any:
    """Delete the record of a key that was revoked or has expired. Example: bindery keys delete KEY"""
    return deletion.run(context.api, "keys", key, yes=yes)
