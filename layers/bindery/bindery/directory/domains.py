"""User domains (quectel): the apps that users belong to, and who of an app's users may bind devices."""

from typing import Literal

from bindery import clock, dynamo
from bindery.dynamo import Condition, Item, Key, Put, Table, Update
from bindery.faults import Reason

Binders = Literal["everyone", "administrators"]


def key(domain: str) -> Key:
    """Where a user domain stands in the directory."""
    return Key(Table.DIRECTORY, f"domain#{domain}", "domain")


def create(domain: str, *, binders: Binders = "everyone") -> None:
    """Enter a user domain. Raises `ALREADY_EXISTS`."""
    dynamo.write(
        Put(
            key(domain),
            {"domain": domain, "binders": binders, "enabled": True, "created_at": clock.now()},
            Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.ALREADY_EXISTS),
        )
    )


def set_enabled(domain: str, enabled: bool) -> None:
    """Let a domain's users bind devices, or none of them. Raises `NOT_FOUND`."""
    _set(domain, {"enabled": enabled})


def set_binders(domain: str, binders: Binders) -> None:
    """Say which of a domain's users may bind devices. Raises `NOT_FOUND`."""
    _set(domain, {"binders": binders})


def _set(domain: str, change: Item) -> None:
    ((name, value),) = change.items()
    exists = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
    dynamo.write(Update(key(domain), f"SET #{name} = :value", {":value": value}, exists))
