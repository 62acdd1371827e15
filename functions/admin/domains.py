"""/admin/v1/domains: user domains, the apps of quectel."""

from typing import Annotated

from bindery.operators import deletion
from bindery.operators.resource import (
    UNCHANGED,
    Cascade,
    Cursor,
    Deletion,
    Id,
    Limit,
    Page,
    PathId,
    RequestBody,
    Resource,
)
from bindery.quectel import domain_secrets, user_domains
from bindery.quectel.user_domains import Binders

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

handler = Resource("domains")


_Text = StringConstraints(
    strip_whitespace=False,
    min_length=domain_secrets.SHORTEST,
    max_length=domain_secrets.LONGEST,
    pattern=r"^[!-~]+$",
)
Secret = Annotated[Annotated[str, _Text] | None, Field(repr=False)]
"""Secret with which apps sign logins: printable ASCII without spaces."""


class NewDomain(RequestBody):
    """A user domain to create. The default secret is random."""

    domain: Id
    enabled: StrictBool = True
    binders: Binders = "everyone"
    secret: Secret = None


class NewSecret(RequestBody):
    """A new secret. The default is random."""

    secret: Secret = None


class Change(RequestBody):
    """The members to change."""

    enabled: StrictBool = UNCHANGED
    binders: Binders = UNCHANGED


class Domain(BaseModel):
    """A user domain. While it is disabled, its users cannot log in or bind devices. `deleting_at`: in deletion."""

    model_config = ConfigDict(hide_input_in_errors=True)

    domain: str
    enabled: bool
    binders: Binders
    created_at: int
    deleting_at: int | None = Field(None, exclude_if=lambda at: at is None)


class Dependent(BaseModel):
    """A user or product that depends on a domain."""

    kind: str
    id: str


_EXAMINED = 20
"""Records that are examined for each entry of a page."""


class DomainWithSecret(Domain):
    """A user domain and its secret, which is shown only once."""

    secret: str


def _with_secret(domain: str, secret: str) -> DomainWithSecret:
    return DomainWithSecret.model_validate({**user_domains.show(domain), "secret": secret})


@handler.app.post("/admin/v1/domains")
def create(new: NewDomain) -> DomainWithSecret:
    """Create a user domain."""
    secret = domain_secrets.create(new.domain, new.secret, enabled=new.enabled, binders=new.binders)
    return _with_secret(new.domain, secret)


@handler.app.get("/admin/v1/domains")
def list_domains(limit: Limit = 50, cursor: Cursor = None) -> Page[Domain]:
    """List user domains, by id."""
    return Page.of(user_domains.list_domains(limit, cursor), Domain.model_validate)


@handler.app.get("/admin/v1/domains/<domain>")
def show(domain: PathId) -> Domain:
    """Show a user domain."""
    return Domain.model_validate(user_domains.show(domain))


@handler.app.patch("/admin/v1/domains/<domain>")
def change(domain: PathId, changes: Change) -> Domain:
    """Change which users of a domain can bind devices, or disable or enable it."""
    user_domains.change(domain, **changes.specified())
    return show(domain)


@handler.app.post("/admin/v1/domains/<domain>/secret")
def replace_secret(domain: PathId, new: NewSecret) -> DomainWithSecret:
    """Replace the secret of a domain. Logins signed with the previous one are refused."""
    return _with_secret(domain, domain_secrets.replace(domain, new.secret))


@handler.app.delete("/admin/v1/domains/<domain>")
def delete(domain: PathId, cascade: Cascade = False) -> Deletion:
    """Delete a user domain without users, and that no product names."""
    return Deletion.model_validate(deletion.domain(domain, cascade=cascade)._asdict())


@handler.app.get("/admin/v1/domains/<domain>/dependents")
def dependents(domain: PathId, limit: Limit = 50, cursor: Cursor = None) -> Page[Dependent]:
    """List the users of a domain and the products that name it. A page can be empty and not the last."""
    found, following = deletion.dependents_of_domain(domain, limit * _EXAMINED, cursor)
    return Page(items=[Dependent.model_validate(each._asdict()) for each in found], next=following)
