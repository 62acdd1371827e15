"""Accounts: the tenants (a company, a bank, a platform)."""

from enum import StrEnum

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Put, Table, Update
from bindery.core import clock
from bindery.core.errors import Reason


class KeyKind(StrEnum):
    """Which API a key of an account opens."""

    RUFUS = "rufus"
    REMOTEIT = "remoteit"


ROTATED = "rotated"
"""Among an account's live keys: those that have a successor and are yet to expire, of whatever kind."""

LIST = "accounts"
"""Under which all accounts stand in the index by list."""


def key(account: str) -> Key:
    """Where an account stands in the directory."""
    return Key(Table.DIRECTORY, f"account#{account}", "account")


def api_key(hashed: str) -> Key:
    """Where the API key with this id (its SHA-256) stands in the directory, whichever account it is of."""
    return Key(Table.DIRECTORY, f"key#{hashed}", "key")


def create(account: str, *, name: str) -> None:
    """Open an account. Raises `ALREADY_EXISTS`.

    `live_keys` holds, by kind, the id of every key that counts as live and when it expires (0: never), and those that
    are rotated under `ROTATED`.
    """
    dynamodb.write(
        Put(
            key(account),
            {
                "list": LIST,
                "account": account,
                "name": name,
                "enabled": True,
                "live_keys": {group: {} for group in (*KeyKind, ROTATED)},
                "created_at": clock.now(),
            },
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def show(account: str) -> Item:
    """An account's record. Raises `NOT_FOUND`."""
    return directory.show(key(account))


def page(limit: int, cursor: str | None) -> Page:
    """Part of the list of all accounts, by id. Raises `INVALID`: the cursor is none."""
    return directory.page(LIST, limit, cursor)


def set_enabled(account: str, enabled: bool) -> None:
    """Enable or disable an account, and with it, in the same write, every key of it. Raises `NOT_FOUND`.

    Disabling it ends the connections of its users. A key carries its account's state, so that a request needs to read
    the key alone; users are checked against the account itself. Raises `CONFLICT` if a key was issued or revoked
    concurrently: nothing has changed then.
    """
    live = show(account)["live_keys"]
    dynamodb.transact(
        [
            directory.enabling(
                key(account),
                enabled,
                Condition(expression="#live_keys = :live_keys", values={":live_keys": live}, otherwise=Reason.CONFLICT),
            ),
            *(
                Update(api_key(hashed), "SET #account_enabled = :enabled", {":enabled": enabled})
                for group in live.values()
                for hashed in group
            ),
        ]
    )


def enabled(record: Item | None) -> bool:
    """Whether an account's record is one under which callers may authenticate."""
    return record is not None and bool(record["enabled"])
