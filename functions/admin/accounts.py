"""/admin/v1/accounts: the tenants."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bindery.directory import accounts
from bindery.operators.resource import Asked, Cursor, Id, Limit, Name, Page, PathId, Resource

handler = Resource("accounts")


class NewAccount(Asked):
    """An account to open."""

    account: Id
    name: Name


class Account(BaseModel):
    """An account; a closed one lets nobody in."""

    account: str
    name: str
    enabled: bool
    created_at: int


def _read(record: Mapping[str, Any]) -> Account:
    return Account.model_validate(record)


@handler.app.post("/admin/v1/accounts")
def create(new: NewAccount) -> Account:
    """Open an account."""
    accounts.create(new.account, name=new.name)
    return _read(accounts.show(new.account))


@handler.app.get("/admin/v1/accounts")
def page(limit: Limit = 50, cursor: Cursor = None) -> Page[Account]:
    """List accounts, by id."""
    found = accounts.page(limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/accounts/<account>")
def show(account: PathId) -> Account:
    """Show an account."""
    return _read(accounts.show(account))


@handler.app.post("/admin/v1/accounts/<account>/disable")
def disable(account: PathId) -> Account:
    """Close an account: its keys and its users' tokens stop authenticating at once."""
    accounts.set_enabled(account, False)
    return _read(accounts.show(account))


@handler.app.post("/admin/v1/accounts/<account>/enable")
def enable(account: PathId) -> Account:
    """Open a closed account again."""
    accounts.set_enabled(account, True)
    return _read(accounts.show(account))
