"""/admin/v1/domains: the user domains of quectel's apps."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from bindery.operators.resource import UNCHANGED, Asked, Cursor, Id, Limit, Page, PathId, Resource
from bindery.quectel import domain_secrets, user_domains
from bindery.quectel.user_domains import Binders

handler = Resource("domains")


_Text = StringConstraints(
    strip_whitespace=False,
    min_length=domain_secrets.SHORTEST,
    max_length=domain_secrets.LONGEST,
    pattern=r"^[!-~]+$",
)
Secret = Annotated[Annotated[str, _Text] | None, Field(repr=False)]
"""What apps sign logins with: printable ASCII without blanks."""


class NewDomain(Asked):
    """A user domain to enter. Its secret is the one that the apps in the field have, or else a random one."""

    domain: Id
    enabled: StrictBool = True
    binders: Binders = "everyone"
    secret: Secret = None


class NewSecret(Asked):
    """The secret that a domain has from now on; a random one, if none is given."""

    secret: Secret = None


class Change(Asked):
    """What is to be another from now on."""

    enabled: StrictBool = UNCHANGED
    binders: Binders = UNCHANGED


class Domain(BaseModel):
    """A user domain: whether its users may log in and bind devices, and which of them may bind."""

    model_config = ConfigDict(hide_input_in_errors=True)

    domain: str
    enabled: bool
    binders: Binders
    created_at: int


class DomainWithSecret(Domain):
    """A user domain, with its secret: it is shown this once."""

    secret: str


def _read(record: Mapping[str, Any]) -> Domain:
    return Domain.model_validate(record)


def _with_secret(domain: str, secret: str) -> DomainWithSecret:
    return DomainWithSecret.model_validate(user_domains.show(domain) | {"secret": secret})


@handler.app.post("/admin/v1/domains")
def create(new: NewDomain) -> DomainWithSecret:
    """Enter a user domain."""
    secret = domain_secrets.create(new.domain, new.secret, enabled=new.enabled, binders=new.binders)
    return _with_secret(new.domain, secret)


@handler.app.get("/admin/v1/domains")
def page(limit: Limit = 50, cursor: Cursor = None) -> Page[Domain]:
    """List user domains, by id."""
    found = user_domains.page(limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/domains/<domain>")
def show(domain: PathId) -> Domain:
    """Show a user domain."""
    return _read(user_domains.show(domain))


@handler.app.patch("/admin/v1/domains/<domain>")
def change(domain: PathId, changes: Change) -> Domain:
    """Change who of the domain's users may bind devices, or whether any may, and log in."""
    user_domains.change(domain, **changes.given())
    return _read(user_domains.show(domain))


@handler.app.post("/admin/v1/domains/<domain>/secret")
def replace_secret(domain: PathId, new: NewSecret) -> DomainWithSecret:
    """Give a domain another secret: apps that sign with the last one log nobody in any more."""
    return _with_secret(domain, domain_secrets.replace(domain, new.secret))
