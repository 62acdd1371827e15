"""/admin/v1/keys: the API keys of accounts."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from bindery.core.errors import Reason
from bindery.directory import api_keys
from bindery.directory.api_keys import Grant, Kind
from bindery.operators.resource import (
    Asked,
    Cursor,
    FutureTime,
    Id,
    Limit,
    Name,
    Page,
    PathId,
    QueryId,
    Resource,
    explained,
)

handler = Resource("keys")

_REFUSED = {
    Reason.NOT_FOUND: "the account does not exist or is disabled",
    Reason.LIMIT_REACHED: f"the account has {api_keys.LIVE_LIMIT} valid keys of this kind: revoke one first",
}


class NewKey(Asked):
    """A key to issue. It expires at `expires_at` (milliseconds since the epoch), or never.

    What `grant` and `unbind` allow is rufus' own: a key of remoteit is READ_WRITE and has no `unbind`.
    """

    account: Id
    kind: Kind
    grant: Grant
    unbind: StrictBool = False
    alias: Name
    expires_at: FutureTime | None = None


class Rotation(Asked):
    """For how long, 30 days at most, the key that is rotated stays good beside its successor."""

    overlap_seconds: Annotated[StrictInt, Field(ge=0, le=30 * 86400)] = 86400


class Key(BaseModel):
    """A key, but for what its bearer presents.

    `last_used` is the last day (UTC) on which it bound, unbound or connected something; reading is not noted.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    id: str
    account: str
    kind: Kind
    grant: Grant
    unbind: bool
    alias: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used: date | None = None


class IssuedKey(Key):
    """A new key, with what its bearer presents: it is shown this once."""

    key: str


def _read(record: Mapping[str, Any]) -> Key:
    return Key.model_validate(record)


def _issued(credential: str) -> IssuedKey:
    return IssuedKey.model_validate(api_keys.show(api_keys.id_of(credential)) | {"key": credential})


@handler.app.post("/admin/v1/keys")
def issue(new: NewKey) -> IssuedKey:
    """Issue a key; an account has ten live ones of a kind at most."""
    with explained(_REFUSED, "account"):
        key = api_keys.issue(
            new.account, new.kind, new.grant, alias=new.alias, unbind=new.unbind, expires_at=new.expires_at
        )
    return _issued(key)


@handler.app.get("/admin/v1/keys")
def page(account: QueryId, limit: Limit = 50, cursor: Cursor = None) -> Page[Key]:
    """List an account's keys, revoked and expired ones included."""
    found = api_keys.page(account, limit, cursor)
    return Page(items=[_read(record) for record in found.items], next=found.cursor)


@handler.app.get("/admin/v1/keys/<key>")
def show(key: PathId) -> Key:
    """Show a key, by its id."""
    return _read(api_keys.show(key))


@handler.app.post("/admin/v1/keys/<key>/rotate")
def rotate(key: PathId, rotation: Rotation) -> IssuedKey:
    """Issue a key's successor; the key itself expires after the overlap."""
    return _issued(api_keys.rotate(key, rotation.overlap_seconds))


@handler.app.post("/admin/v1/keys/<key>/revoke")
def revoke(key: PathId) -> Key:
    """Revoke a key: the next request with it is refused."""
    api_keys.revoke(key)
    return _read(api_keys.show(key))
