"""/admin/v1/keys: API keys of accounts."""

from datetime import date
from typing import Annotated

from bindery.core.errors import Reason
from bindery.directory import api_keys, rates
from bindery.directory.api_keys import Grant, Kind
from bindery.operators import deletion
from bindery.operators.resource import (
    Cursor,
    Deletion,
    FutureTime,
    Id,
    Limit,
    Name,
    Page,
    PathId,
    QueryId,
    RateLimit,
    RequestBody,
    Resource,
    explained,
)
from bindery.registry import items

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

handler = Resource("keys")

_REFUSED = {
    Reason.NOT_FOUND: "the account does not exist or is disabled",
    Reason.LIMIT_REACHED: f"the account has {api_keys.LIVE_LIMIT} valid keys of this kind: revoke one first",
}


class NewKey(RequestBody):
    """A key to issue, random unless `key` is one that apps have. remoteit's are READ_WRITE, without `unbind`."""

    account: Id
    kind: Kind
    grant: Grant
    unbind: StrictBool = False
    alias: Name
    expires_at: FutureTime | None = None
    key: Annotated[Annotated[str, Field(pattern=api_keys.FORM)] | None, Field(repr=False)] = None


class Rotation(RequestBody):
    """Time for which the old key stays valid."""

    overlap_seconds: Annotated[StrictInt, Field(ge=0, le=30 * 86400)] = 86400


class Key(BaseModel):
    """Metadata of a key. `last_used` is the last day (UTC) on which it was used to bind, unbind or connect."""

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
    per_second: int | None = None
    burst: int | None = None


class IssuedKey(Key):
    """A new key. `key` is shown only once."""

    key: str


def _issued(credential: str) -> IssuedKey:
    return IssuedKey.model_validate({**api_keys.show(api_keys.id_of(credential)), "key": credential})


@handler.app.post("/admin/v1/keys")
def issue(new: NewKey) -> IssuedKey:
    """Issue a key. An account can have ten valid keys of each kind."""
    with explained(_REFUSED, "account"):
        key = api_keys.issue(
            new.account,
            new.kind,
            new.grant,
            alias=new.alias,
            unbind=new.unbind,
            expires_at=new.expires_at,
            chosen=new.key,
        )
    return _issued(key)


@handler.app.get("/admin/v1/keys")
def list_keys(account: QueryId, limit: Limit = 50, cursor: Cursor = None) -> Page[Key]:
    """List an account's keys, including revoked and expired ones."""
    return Page.of(api_keys.list_keys(account, limit, cursor), Key.model_validate)


@handler.app.get("/admin/v1/keys/<key>")
def show(key: PathId) -> Key:
    """Show a key."""
    return Key.model_validate(api_keys.show(key))


@handler.app.post("/admin/v1/keys/<key>/rotate")
def rotate(key: PathId, rotation: Rotation) -> IssuedKey:
    """Issue the successor of a key. The key itself expires after the overlap."""
    return _issued(api_keys.rotate(key, rotation.overlap_seconds))


@handler.app.post("/admin/v1/keys/<key>/revoke")
def revoke(key: PathId) -> Key:
    """Revoke a key with immediate effect."""
    api_keys.revoke(key)
    return show(key)


@handler.app.put("/admin/v1/keys/<key>/limit")
def limit(key: PathId, rate: RateLimit) -> Key:
    """Limit the requests per second of a key."""
    rates.limit(items.api_key(key), rate.per_second, rate.burst)
    return show(key)


@handler.app.delete("/admin/v1/keys/<key>/limit")
def lift_limit(key: PathId) -> Key:
    """Remove the limit of a key."""
    rates.lift(items.api_key(key))
    return show(key)


@handler.app.delete("/admin/v1/keys/<key>")
def delete(key: PathId) -> Deletion:
    """Delete the record of a key that was revoked or has expired."""
    return Deletion.model_validate(deletion.key(key)._asdict())
