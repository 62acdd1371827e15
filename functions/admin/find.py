"""/admin/v1/find: look up a text as any identifier."""

from collections.abc import Mapping, Sequence

from bindery.operators import find as search
from bindery.operators.resource import OptionalQueryId, QueryText, Resource

from pydantic import BaseModel

handler = Resource("find")


class Match(BaseModel):
    """A record, how the text identifies it (`named`), and its state. Times are in milliseconds."""

    kind: str
    named: str
    id: str
    state: str
    facts: Mapping[str, str | int | None]


class Found(BaseModel):
    """All records that the text names, and as what it was looked up.

    With `more`, more devices have this serial number or one that begins so, or more users this email address.
    """

    matches: Sequence[Match]
    tried: Sequence[str]
    more: bool


@handler.app.get("/admin/v1/find")
def find(text: QueryText, account: OptionalQueryId = None, domain: OptionalQueryId = None) -> Found:
    """Identify a text. Instead of a key or a device's credential, send its SHA-256 in hex.

    Email addresses are found in all accounts, or in an account or user domain. Phone numbers need a user domain.
    """
    found = search.find(text, account=account, domain=domain)
    return Found(
        matches=[Match.model_validate(match._asdict()) for match in found.matches],
        tried=found.tried,
        more=found.more,
    )
