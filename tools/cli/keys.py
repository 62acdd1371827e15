"""`bindery keys`."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from tools.cli.client import Client
from tools.cli.command import All, Limit, command, group, listed

app = group("API keys (rufus) and developer keys (remoteit) of accounts.")

Key = Annotated[str, typer.Argument(help="The key's id (not the key itself).")]


class Kind(StrEnum):
    """Which API a key opens."""

    RUFUS = "rufus"
    REMOTEIT = "remoteit"


class Grant(StrEnum):
    """What a key may do."""

    READ = "READ"
    WRITE = "WRITE"
    READ_WRITE = "READ_WRITE"


@command(app, once="key")
def create(
    api: Client,
    account: Annotated[str, typer.Argument(help="The account's id.")],
    kind: Annotated[Kind, typer.Option(help="Which API it opens.")],
    alias: Annotated[str, typer.Option(help="What people call it.")],
    grant: Annotated[Grant, typer.Option(help="What it may do (rufus only).")] = Grant.READ_WRITE,
    unbind: Annotated[bool, typer.Option("--unbind", help="It may unbind devices too (rufus only).")] = False,
    expires_at: Annotated[
        datetime | None, typer.Option("--expires", help="When it expires, UTC. Default: never.", show_default=False)
    ] = None,
) -> Any:
    """Issue a key. It is shown this once."""
    members: dict[str, Any] = {"account": account, "kind": kind, "grant": grant, "unbind": unbind, "alias": alias}
    if expires_at is not None:
        members["expires_at"] = int(expires_at.replace(tzinfo=UTC).timestamp() * 1000)
    return api.post("keys", **members)


@command(app, name="list")
def page(
    api: Client,
    account: Annotated[str, typer.Argument(help="The account's id.")],
    limit: Limit = 50,
    everything: All = False,
) -> Any:
    """List an account's keys, those that are revoked or expired too."""
    return listed(api, "keys", limit=limit, everything=everything, account=account)


@command(app)
def show(api: Client, key: Key) -> Any:
    """Show one, by its id."""
    return api.get("keys", key)


@command(app, once="key")
def rotate(
    api: Client,
    key: Key,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds for which the old key stays good.")] = 86400,
) -> Any:
    """Issue a key's successor, shown this once; the key itself expires after the overlap."""
    return api.post("keys", key, "rotate", overlap_seconds=overlap)


@command(app)
def revoke(api: Client, key: Key) -> Any:
    """Revoke a key: the next request with it is refused."""
    return api.post("keys", key, "revoke")
