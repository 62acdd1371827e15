"""/admin/v1/domains: the user domains of quectel's apps."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, StrictBool

from bindery.admin import UNCHANGED, Asked, Cursor, Id, Limit, Page, PathId, Resource
from bindery.directory import domains
from bindery.directory.domains import Binders

handler = Resource("domains")


class NewDomain(Asked):
    """A user domain to enter."""

    domain: Id
    enabled: StrictBool = True
    binders: Binders = "everyone"


class Change(Asked):
    """What is to be another from now on."""

    enabled: StrictBool = UNCHANGED
    binders: Binders = UNCHANGED


class Domain(BaseModel):
    """A user domain: whether its users may bind devices, and which of them."""

    domain: str
    enabled: bool
    binders: Binders
    created_at: int


def _read(record: Mapping[str, Any]) -> Domain:
    return Domain.model_validate(record)


@handler.app.post("/admin/v1/domains")
def create(new: NewDomain) -> Domain:
    """Enter a user domain."""
    domains.create(new.domain, enabled=new.enabled, binders=new.binders)
    return _read(domains.show(new.domain))


@handler.app.get("/admin/v1/domains")
def page(limit: Limit = 50, cursor: Cursor = None) -> Page[Domain]:
    """List user domains, by id."""
    found = domains.page(limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/domains/<domain>")
def show(domain: PathId) -> Domain:
    """Show one."""
    return _read(domains.show(domain))


@handler.app.patch("/admin/v1/domains/<domain>")
def change(domain: PathId, changes: Change) -> Domain:
    """Change who of the domain's users may bind devices."""
    domains.change(domain, **changes.given())
    return _read(domains.show(domain))
