"""`bindery accounts`."""

from typing import Annotated, Any

import typer

from tools.cli import deletion
from tools.cli.command import Context, Yes, command, group
from tools.cli.resource import Resource

app = group("Manage accounts (tenants).")

Account = Annotated[str, typer.Argument(help="Account id.")]
accounts = Resource(app, "accounts", account=Account)


@command(app, done="Created account {account}.")
def create(context: Context, account: Account, name: Annotated[str, typer.Option(help="Account name.")]) -> Any:
    """Create an account."""
    return context.api.post("accounts", account=account, name=name)


accounts.list(
    "List accounts, sorted by id.",
    {"ACCOUNT": "account", "NAME": "name", "ENABLED": "enabled", "CREATED": "created_at"},
)
accounts.show("Show an account.")
accounts.limit("Limit the requests per second of an account's users (quectel, remoteit), or remove the limit.")
accounts.action(
    "disable",
    "Disable an account. Its keys and its users' tokens stop working immediately.",
    done="Disabled account {account}. Its keys and its users' tokens no longer work.",
)
accounts.action("enable", "Enable a disabled account.", done="Enabled account {account}.")


@command(app, done="Spread the device list of account {account} over {parts} partitions.")
def spread(
    context: Context,
    account: Account,
    parts: Annotated[int, typer.Argument(min=2, max=16, help="Number of partitions. It can only grow.")],
) -> Any:
    """Spread an account's device list, for more than 500 new devices per second (rufus)."""
    return context.api.post("accounts", account, "spread", parts=parts)


@command(app, done=deletion.told)
def delete(context: Context, account: Account, cascade: deletion.Cascade = False, yes: Yes = False) -> Any:
    """Delete an account that has no users, keys and devices, or with --cascade also these.

    It is disabled first. To stop a deletion that has begun: bindery accounts enable ACCOUNT. To resume an interrupted
    one, run the same command again. Example: bindery accounts delete acme --cascade
    """
    return deletion.run(context.api, "accounts", account, deletion.of_account, cascade=cascade, yes=yes)
