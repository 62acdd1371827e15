"""/admin/v1/privacy: what is held about a user, to show it to them or to remove it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bindery.operators import privacy
from bindery.operators.resource import PathId, Resource

handler = Resource("privacy")

Records = Sequence[Mapping[str, Any]]


class Export(BaseModel):
    """Everything stored about a user. `complete` is false if a kind has more than a thousand records.

    `user` is null if the user's own record is erased and something else is left.
    """

    user: Mapping[str, Any] | None
    bindings: Records
    shares: Records
    families: Records
    bars: Records
    connections: Records
    registrations: Records
    issued_devices: Records
    cards_held: Records
    complete: bool


class Erasure(BaseModel):
    """How much this request removed, by kind. Repeat the request until it is `complete`, or answered 404."""

    uid: str
    removed: Mapping[str, int]
    complete: bool


@handler.app.get("/admin/v1/privacy/<uid>")
def export(uid: PathId) -> Export:
    """Show everything stored about a user, except secrets."""
    return Export.model_validate(privacy.export(uid))


@handler.app.delete("/admin/v1/privacy/<uid>")
def erase(uid: PathId) -> Erasure:
    """Remove what is stored about a user: up to two hundred records, or the user's own once nothing else is left.

    404: nothing is stored under this uid, or nothing any more.
    """
    removed, complete = privacy.erase(uid)
    return Erasure(uid=uid, removed=removed, complete=complete)
