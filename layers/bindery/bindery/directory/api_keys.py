"""API keys (rufus) and developer keys (remoteit). Only their SHA-256 is stored."""

import re
import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from bindery import directory
from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Key, Update
from bindery.aws.expressions import Condition, above, absent, equals, every, exists, fewer
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, key_guesses, rates
from bindery.directory.accounts import ROTATED
from bindery.http.messages import Access
from bindery.registry import items
from bindery.security.secrets import fingerprint

Kind = accounts.KeyKind

LIVE_LIMIT = 10
"""Keys of one kind per account, not revoked, expired or rotated."""

ROTATED_LIMIT = 20
"""Unexpired rotated keys per account."""


class Grant(StrEnum):
    """Access type of a rufus key. Developer keys are READ_WRITE."""

    READ = "READ"
    WRITE = "WRITE"
    READ_WRITE = "READ_WRITE"


FORM = r"^[A-Za-z0-9+/=_-]{20,128}$"
"""Form of a key that an operator chooses."""
_PREFIXES = {Kind.RUFUS: "ror-", Kind.REMOTEIT: ""}


class ApiKey(NamedTuple):
    """A valid key."""

    account: str
    grant: Grant
    unbind: bool
    parts: int = 1
    """Parts of the account's device list."""
    used: Update | None = None
    """First use today, to be written as `aside`."""

    def allows(self, access: Access) -> bool:
        """Return True if the key gives this access."""
        match access:
            case Access.READ:
                return self.grant is not Grant.WRITE
            case Access.WRITE:
                return self.grant is not Grant.READ
            case Access.UNBIND:
                return self.unbind


def id_of(credential: str) -> str:
    """Return a key's id."""
    return fingerprint(credential)


def presented(credential: str) -> Key[items.ApiKey]:
    """Return a credential's item key."""
    return items.api_key(id_of(credential))


def check(item: items.ApiKey | None, kind: Kind) -> ApiKey:
    """Return an item's key. Raises `KEY_UNKNOWN` unless it is valid."""
    if (
        item is None
        or item["kind"] != kind
        or not item["account_enabled"]
        or "revoked_at" in item
        or 0 < item.get("expires_at", 0) <= clock.now()
    ):
        raise Refused(Reason.KEY_UNKNOWN)
    grant = Grant(item["grant"])
    return ApiKey(item["account"], grant, item["unbind"], item.get("parts", 1), _first_use_today(item))


def authenticate(item: items.ApiKey | None, kind: Kind, source_ip: str) -> ApiKey:
    """Return an item's key. Raises `KEY_UNKNOWN`, `KEY_THROTTLED` and `RATE_EXCEEDED`."""
    try:
        key = check(item, kind)
    except Refused:
        key_guesses.refuse(kind, source_ip)
    rates.spend(item or {})
    return key


def _first_use_today(item: items.ApiKey) -> Update | None:
    today = clock.today().isoformat()
    if item.get("last_used") == today:
        return None
    return items.api_key(_id(item)).update(set={"last_used": today})


def issue(
    account: str,
    kind: Kind,
    grant: Grant,
    *,
    alias: str,
    unbind: bool = False,
    expires_at: int | None = None,
    chosen: str | None = None,
) -> str:
    """Issue a key, random unless `chosen`, and return it. `expires_at` is in milliseconds.

    Raises `NOT_FOUND` (also a disabled account), `LIMIT_REACHED`, `INVALID` and `ALREADY_EXISTS`.
    """
    _check_permissions(kind, grant, unbind)
    credential = chosen or _random(kind)
    if not re.fullmatch(FORM, credential):
        raise Refused(Reason.INVALID)
    hashed = id_of(credential)
    tenant = accounts.show(account)
    key: items.ApiKey = accounts.repeated(tenant) | {
        "collection": items.api_keys(account).value,
        "kind": kind,
        "grant": grant,
        "unbind": unbind,
        "alias": alias,
        "created_at": clock.now(),
    }
    if expires_at is not None:
        key["expires_at"] = expires_at
    expired = _expired(tenant, kind)
    room = (equals("enabled", True) & _has_room(tenant, expired, kind, LIVE_LIMIT)).raises(
        lambda found: _no_room(found, tenant, expired, kind) if accounts.enabled(found or None) else Reason.NOT_FOUND
    )
    dynamodb.transact(
        [
            items.api_key(hashed).put(key, when=absent().raises(Reason.ALREADY_EXISTS)),
            items.account(account).update(
                members={("live_keys", kind, hashed): expires_at or 0}, remove=_live(expired, kind), when=room
            ),
        ]
    )
    return credential


def show(hashed: str) -> items.ApiKey:
    """Return a record with its `id`. Raises `NOT_FOUND`."""
    return _with_id(directory.show(items.api_key(hashed)))


def list_keys(account: str, limit: int, cursor: str | None) -> CursorPage[items.ApiKey]:
    """Return a page of an account's keys."""
    found = dynamodb.page(items.api_keys(account), limit, cursor)
    return CursorPage([_with_id(item) for item in found.items], found.cursor)


def rotate(hashed: str, overlap: int) -> str:
    """Issue and return a successor with the same permissions. The key expires after `overlap` seconds.

    Raises `NOT_FOUND`, `INVALID` (permissions), `STATUS_NOT_VALID` (key or account not live) and `LIMIT_REACHED`.
    """
    key = show(hashed)
    account, kind, now = key["account"], Kind(key["kind"]), clock.now()
    tenant = accounts.show(account)
    _check_permissions(kind, Grant(key["grant"]), key["unbind"])
    expires_at = key.get("expires_at", 0)
    ends = min(now + overlap * 1000, expires_at or now + overlap * 1000)
    credential = _random(kind)
    successor = id_of(credential)
    expired = _expired(tenant, ROTATED)
    usable = absent("revoked_at") & (absent("expires_at") | above("expires_at", now))
    room = every(
        [
            equals("enabled", True),
            exists(("live_keys", kind, hashed)),
            _has_room(tenant, expired, ROTATED, ROTATED_LIMIT),
        ]
    )
    dynamodb.transact(
        [
            items.api_key(hashed).update(
                set={"expires_at": ends, "successor": successor}, when=usable.raises(Reason.STATUS_NOT_VALID)
            ),
            items.api_key(successor).put(_successor(key, tenant, now), when=absent().raises(Reason.ALREADY_EXISTS)),
            items.account(account).update(
                members={("live_keys", kind, successor): expires_at, ("live_keys", ROTATED, hashed): ends},
                remove=[("live_keys", kind, hashed), *_live(expired, ROTATED)],
                when=room.raises(
                    lambda found: (
                        _no_room(found, tenant, expired, ROTATED)
                        if found["enabled"] and hashed in found["live_keys"][kind]
                        else Reason.STATUS_NOT_VALID
                    )
                ),
            ),
        ]
    )
    return credential


def _successor(key: items.ApiKey, tenant: items.Account, now: int) -> items.ApiKey:
    successor: items.ApiKey = accounts.repeated(tenant) | {
        "collection": key["collection"],
        "kind": key["kind"],
        "grant": key["grant"],
        "unbind": key["unbind"],
        "alias": key["alias"],
        "created_at": now,
    }
    if "expires_at" in key:
        successor["expires_at"] = key["expires_at"]
    if "per_second" in key:
        successor |= {"per_second": key["per_second"], "burst": key["burst"]}
    return successor


def revoke(hashed: str) -> None:
    """Revoke a key at once. Idempotent. Raises `NOT_FOUND`."""
    key = show(hashed)
    # A concurrent rotation may move it, so remove it from both groups.
    listed = [("live_keys", group, hashed) for group in (key["kind"], ROTATED)]
    dynamodb.transact(
        [
            items.api_key(hashed).update(once={"revoked_at": clock.now()}),
            items.account(key["account"]).update(remove=listed),
        ]
    )


def _id(item: items.ApiKey) -> str:
    return item["pk"].removeprefix("key#")


def _with_id(item: items.ApiKey) -> items.ApiKey:
    return item | {"id": _id(item)}


def _check_permissions(kind: Kind, grant: Grant, unbind: bool) -> None:
    if kind is Kind.REMOTEIT and (grant is not Grant.READ_WRITE or unbind):
        raise Refused(
            Reason.INVALID,
            detail="remoteit's API has no grants: each of its keys is READ_WRITE, without unbind. Issue such a key.",
        )
    if unbind and grant is Grant.READ:
        raise Refused(Reason.INVALID, detail="A READ key cannot unbind: give it WRITE or READ_WRITE.")


def _random(kind: Kind) -> str:
    return _PREFIXES[kind] + secrets.token_hex(20)


def _expired(account: items.Account, group: str) -> list[str]:
    """Return expired keys that are still listed as live."""
    return [hashed for hashed, expires_at in account["live_keys"][group].items() if 0 < expires_at <= clock.now()]


def _live(hashes: Sequence[str], group: str) -> list[tuple[str, ...]]:
    return [("live_keys", group, hashed) for hashed in hashes]


def _has_room(account: items.Account, expired: Sequence[str], group: str, limit: int) -> Condition:
    room = fewer(("live_keys", group), limit + len(expired))
    return every([room, accounts.same_parts(account), *map(exists, _live(expired, group))])


def _no_room(found: Mapping[str, Any], account: items.Account, expired: Sequence[str], group: str) -> Reason:
    """Return `LIMIT_REACHED`, or `CONFLICT` if a concurrent request removed expired keys or spread the list."""
    unchanged = found["live_keys"][group].keys() >= set(expired) and found.get("parts") == account.get("parts")
    return Reason.LIMIT_REACHED if unchanged else Reason.CONFLICT
