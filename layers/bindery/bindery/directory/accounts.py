"""Accounts: companies, banks and platforms."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Update
from bindery.aws.expressions import Condition, absent, at_most, equals
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

    Enabling ends a deletion that has begun. Raises `NOT_FOUND`, and `CONFLICT` if keys changed concurrently.
    """
    live = show(account)["live_keys"]
    unchanged = equals("live_keys", live).raises(Reason.CONFLICT)
    dynamodb.transact(
        [
            directory.set_enabled(items.account(account), enabled, unchanged)._replace(
                remove=["deleting_at"] if enabled else []
            ),
            *_on_keys(live, {"account_enabled": enabled}),
        ]
    )


def close(account: str) -> None:
    """Disable an account that is to be deleted. Raises like `set_enabled`."""
    live = show(account)["live_keys"]
    unchanged = equals("live_keys", live).raises(Reason.CONFLICT)
    disabled = directory.set_enabled(items.account(account), False, unchanged)
    closed = disabled._replace(set={**disabled.set, "deleting_at": clock.now()})
    dynamodb.transact([closed, *_on_keys(live, {"account_enabled": False})])


def spread(account: str, parts: int) -> None:
    """Spread the device list (rufus) over more parts, up to `identity.PARTS`. Bound devices stay where they are.

    Raises `NOT_FOUND`, `STATUS_NOT_VALID` if it already has more, and `CONFLICT` if keys changed concurrently.
    """
    live = show(account)["live_keys"]
    # Without a part, lists would miss its devices.
    grows = absent("parts") | at_most("parts", parts)
    when = (equals("live_keys", live) & grows).raises(
        lambda found: Reason.STATUS_NOT_VALID if found.get("parts", 1) > parts else Reason.CONFLICT
    )
    dynamodb.transact(
        [items.account(account).update(set={"parts": parts}, when=when), *_on_keys(live, {"parts": parts})]
    )


def repeated(account: items.Account) -> items.ApiKey:
    """Return the members that each key of an enabled account repeats."""
    spread: items.ApiKey = {"parts": account["parts"]} if "parts" in account else {}
    return spread | {"account": account["account"], "account_enabled": True}


def same_parts(read: items.Account) -> Condition:
    """Condition: the device list has as many parts as when the account was read."""
    return equals("parts", read["parts"]) if "parts" in read else absent("parts")


def _on_keys(live: Mapping[str, Mapping[str, int]], members: items.ApiKey) -> list[Update]:
    """Repeat members of an account on its live keys, so that requests need not read the account."""
    return [items.api_key(hashed).update(set=members) for group in live.values() for hashed in group]


def enabled(account: Mapping[str, Any] | None) -> bool:
    """Return True if an account is enabled."""
    return account is not None and bool(account["enabled"])
