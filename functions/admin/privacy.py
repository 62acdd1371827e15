"""/admin/v1/privacy: export and erasure of a user's data."""

from collections.abc import Mapping, Sequence
from typing import Any

from bindery.operators import privacy
from bindery.operators.resource import PathId, Resource

from pydantic import BaseModel

handler = Resource("privacy")

Records = Sequence[Mapping[str, Any]]


class Export(BaseModel):
    """Everything stored about a user. `user` is null if only other records are left.

    `complete` is false if a kind has more than a thousand records.
    """

    user: Mapping[str, Any] | None
    bindings: Records
    shares: Records
    families: Records
    bars: Records
    offers: Records
    connections: Records
    tunnels: Records
    presences: Records
    properties: Records
    registrations: Records
    issued_devices: Records
    cards_held: Records
    service_names: Records
    pseudonyms: Records
    events: Records
    complete: bool


class Erasure(BaseModel):
    """Number of removed records, by kind. Repeat the request until `complete` is true."""

    uid: str
    removed: Mapping[str, int]
    complete: bool


@handler.app.get("/admin/v1/privacy/<uid>")
def export(uid: PathId) -> Export:
    """Show everything stored about a user, except secrets."""
    return Export.model_validate(privacy.export(uid))


@handler.app.delete("/admin/v1/privacy/<uid>")
def erase(uid: PathId) -> Erasure:
    """Remove up to two hundred records about a user, and finally the user. 404: nothing is stored."""
    removed, complete = privacy.erase(uid)
    return Erasure(uid=uid, removed=removed, complete=complete)
