"""What operators write and operations read: accounts, keys, users, and what each dialect's installation is made of."""

from collections.abc import Mapping
from typing import Any

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Item, Key, Page, Table, Update
from bindery.core.errors import Reason, Refused

BY_LIST = "by_list"
"""The index of what operators list: partition key `list`, sort key `pk`. Items that no list shows have no `list`."""

EXISTS = Condition(expression="attribute_exists(#pk)", otherwise=Reason.NOT_FOUND)
"""Holds a write to a record that is there."""


def show(key: Key) -> Item:
    """A record. Raises `NOT_FOUND`."""
    record = dynamodb.get(key)
    if record is None:
        raise Refused(Reason.NOT_FOUND)
    return record


def page(listed: str, limit: int, cursor: str | None) -> Page:
    """Part of the records that stand in the index under `listed`, by id. Raises `INVALID`: the cursor is none."""
    return dynamodb.page(Table.DIRECTORY, "#list = :list", {":list": listed}, index=BY_LIST, limit=limit, cursor=cursor)


def change(key: Key, members: Mapping[str, Any], condition: Condition = EXISTS) -> None:
    """Give a record these members in one write, which leaves its others as they are; none are no write.

    Raises `NOT_FOUND`, or what another condition stands for.
    """
    if members:
        dynamodb.write(changed(key, members, condition))


def changed(key: Key, members: Mapping[str, Any], condition: Condition = EXISTS) -> Update:
    """The write that gives a record these members, of which there is at least one."""
    expression = ", ".join(f"#{name} = :{name}" for name in members)
    return Update(key, f"SET {expression}", {f":{name}": value for name, value in members.items()}, condition)


def enabling(key: Key, enabled: bool, condition: Condition) -> Update:
    """The write that enables or disables a user or an account. Disabling counts, so that leases end (`users`)."""
    values = {":enabled": enabled, ":ended": int(not enabled)}
    return Update(key, "SET #enabled = :enabled ADD #suspensions :ended", values, condition)
