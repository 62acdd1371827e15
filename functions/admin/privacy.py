"""/admin/v1/privacy: what is held about a user, to show it to them or to remove it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bindery import privacy
from bindery.admin import PathId, Resource

handler = Resource("privacy")

Records = Sequence[Mapping[str, Any]]


class Export(BaseModel):
    """Everything that is held about a user. `complete` is false where a kind has more than a thousand records."""

    user: Mapping[str, Any]
    bindings: Records
    shares: Records
    families: Records
    bars: Records
    connections: Records
    registrations: Records
    nicknames: Records
    issued_devices: Records
    complete: bool


class Erasure(BaseModel):
    """How much was removed, by kind. Ask again until it is `complete`."""

    uid: str
    removed: Mapping[str, int]
    complete: bool


@handler.app.get("/admin/v1/privacy/<uid>")
def export(uid: PathId) -> Export:
    """Show everything that is held about a user, but for secrets."""
    return Export.model_validate(privacy.export(uid))


@handler.app.delete("/admin/v1/privacy/<uid>")
def erase(uid: PathId) -> Erasure:
    """Remove everything that is held about a user, in steps of two hundred records."""
    removed, complete = privacy.erase(uid)
    return Erasure(uid=uid, removed=removed, complete=complete)
