"""Accounts: companies, banks and platforms."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage
from bindery.aws.expressions import absent, equals
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.registry import items


class KeyKind(StrEnum):
    """The API that a key is for."""

    RUFUS = "rufus"
    REMOTEIT = "remoteit"


ROTATED = "rotated"
"""Group of an account's unexpired keys with a successor."""


def create(account: str, *, name: str) -> None:
    """Create an account. Raises `ALREADY_EXISTS`."""
    dynamodb.write(
        items.account(account).put(
            {
                "collection": items.accounts().value,
                "account": account,
                "name": name,
                "enabled": True,
                "live_keys": {group: {} for group in (*KeyKind, ROTATED)},
                "created_at": clock.now(),
            },
            when=absent().raises(Reason.ALREADY_EXISTS),
        )
    )


def show(account: str) -> items.Account:
    """Return an account. Raises `NOT_FOUND`."""
    return directory.show(items.account(account))


def list_accounts(limit: int, cursor: str | None) -> CursorPage[items.Account]:
    """Return a page of accounts."""
    return dynamodb.page(items.accounts(), limit, cursor)


def set_enabled(account: str, enabled: bool) -> None:
    """Enable or disable an account and its keys, which repeat its state. Disabling ends its users' connections.

    Raises `NOT_FOUND`, and `CONFLICT` if keys changed concurrently.
    """
    live = show(account)["live_keys"]
    unchanged = equals("live_keys", live).raises(Reason.CONFLICT)
    dynamodb.transact(
        [
            directory.set_enabled(items.account(account), enabled, unchanged),
            *(
                items.api_key(hashed).update(set={"account_enabled": enabled})
                for group in live.values()
                for hashed in group
            ),
        ]
    )


def enabled(account: Mapping[str, Any] | None) -> bool:
    """Return True if an account is enabled."""
    return account is not None and bool(account["enabled"])
