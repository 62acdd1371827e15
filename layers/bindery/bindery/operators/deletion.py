"""Deletion of accounts, products, user domains, families and API keys.

A record on which others depend is refused, or closed: nothing new can come in while the others are deleted one by one.
A closed record is deleted once no request can be running that read it while it was open.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Partition, Table, Write
from bindery.aws.expressions import Condition, absent, contains, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, products
from bindery.quectel import families, user_domains
from bindery.registry import acts, identity, items

SETTLE = 30
"""Seconds for which a record must be closed: functions end after 29, and indexes follow their tables by then."""

COUNTED = 100
"""Maximum number of dependents of a kind that are counted."""

_NEVER = 10**14
"""After all times."""

_BARS = 100
"""Bars that one call deletes."""

_PART = 2000
"""Entries of the directory that a call of DynamoDB examines."""

_PARTS = 200
"""Calls that examine the directory for a domain's dependents, in up to 20 seconds."""

_WORDS = {"user": "users", "key": "keys", "device": "devices", "product": "products", "member": "members"}


class Deletion(NamedTuple):
    """Progress of a deletion. Unless `complete`, call again: after `wait_seconds`, or once the dependents are gone."""

    complete: bool
    wait_seconds: int = 0
    dependents: Mapping[str, int] = {}


class Dependent(NamedTuple):
    """A record that depends on another."""

    kind: str
    id: str


def account(name: str, *, cascade: bool) -> Deletion:
    """Delete an account without users, keys and devices. Raises `NOT_FOUND`, `STATUS_NOT_VALID` and `CONFLICT`."""
    found, key = accounts.show(name), items.account(name)
    counts = _count(_of_account(found))
    _require_none(counts, cascade=cascade)
    if unfinished := _unfinished(found, counts, lambda: accounts.close(name)):
        return unfinished
    closed = _closed(found["deleting_at"]) & equals("enabled", False) & equals("live_keys", _no_keys(found))
    return _delete(key, closed, "account", name)


def _unfinished(
    found: items.Account | items.Product | items.UserDomain, counts: Mapping[str, int], close: Callable[[], None]
) -> Deletion | None:
    """Close a record that is open. Return what is left to wait for, if the record cannot be deleted yet."""
    if "deleting_at" in found:
        wait = _wait(found["deleting_at"])
    else:
        close()
        wait = SETTLE
    return Deletion(complete=False, wait_seconds=0 if counts else wait, dependents=counts) if counts or wait else None


def product(product_key: str, *, cascade: bool) -> Deletion:
    """Delete a product without devices, with its TSL and bars. Raises like `account`."""
    found, key = products.show(product_key), items.product(product_key)
    counts = _count(map(_device, _listed(identity.join("product", found["product_key"]))))
    _require_none(counts, cascade=cascade)
    if unfinished := _unfinished(found, counts, lambda: products.close(product_key)):
        return unfinished
    bars = dynamodb.page(items.bars_from(found["product_key"]), _BARS).items
    for bar in bars:
        products.unbar(product_key, bar["uid"])
    if bars:
        return Deletion(complete=False)
    closed = _closed(found["deleting_at"])
    return _delete(key, closed, "product", found["product_key"], items.tsl(product_key).delete())


def domain(name: str, *, cascade: bool) -> Deletion:
    """Delete a user domain without users, and that no product names. Raises like `account`, and `LIMIT_REACHED`."""
    found, key = user_domains.show(name), items.user_domain(name)
    counts = _count(_of_domain(name))
    _require_none(counts, cascade=cascade)
    if unfinished := _unfinished(found, counts, lambda: user_domains.close(name)):
        return unfinished
    return _delete(key, _closed(found["deleting_at"]) & equals("enabled", False), "user_domain", name)


def family(fid: str, *, cascade: bool) -> Deletion:
    """Delete a family without members, with its rooms and common list. Raises `NOT_FOUND`, and like `account`."""
    found = families.show(fid)
    if "deleted_at" in found:
        raise Refused(Reason.NOT_FOUND)
    counts = {"members": len(found["members"])} if found["members"] else {}
    _require_none(counts, cascade=cascade)
    dynamodb.transact([families.emptied(found), *acts.deleted(items.family(fid), "family", fid)])
    return Deletion(complete=True)


def key(identifier: str) -> Deletion:
    """Delete the record of a key that was revoked or has expired. Raises `NOT_FOUND` and `STATUS_NOT_VALID`."""
    stored = items.api_key(identifier)
    found = dynamodb.get(stored)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    ended = min(found.get("revoked_at", _NEVER), found.get("expires_at", _NEVER))
    if ended > clock.now():
        raise Refused(Reason.STATUS_NOT_VALID, detail="The key is valid. Revoke it first: bindery keys revoke KEY")
    if wait := _wait(ended):
        return Deletion(complete=False, wait_seconds=wait)
    owner = dynamodb.get(items.account(found["account"]))
    groups = [] if owner is None else [group for group, live in owner["live_keys"].items() if identifier in live]
    same = [_same(found, name) for name in ("revoked_at", "expires_at")]
    listed = items.account(found["account"]).update(
        remove=[("live_keys", group, identifier) for group in groups], when=exists().raises(Reason.CONFLICT)
    )
    return _delete(stored, same[0] & same[1], "api_key", identifier, *([listed] if groups else []))


def dependents_of_domain(name: str, examined: int, cursor: str | None) -> tuple[list[Dependent], str | None]:
    """Return the users of a domain and the products that name it, of a part of the directory, and the next part."""
    user_domains.show(name)
    found = dynamodb.scan(Table.DIRECTORY, items.BY_LIST, _in_domain(name), examined, cursor)
    return list(map(_dependent, found.items)), found.cursor


def _of_account(found: items.Account) -> Iterator[Dependent]:
    name = found["account"]
    yield from (Dependent("user", user["uid"]) for user in _first(items.users(name)))
    yield from (Dependent("key", each["pk"]) for each in _first(items.api_keys(name)))
    # Devices that were bound before there were lists, or just now.
    parts = range(found.get("parts", 1))
    held = [items.held_by(identity.account_holder(name, part), "rufus") for part in parts]
    bound = {binding["pk"] for part in held for binding in _first(part)}
    yield from map(_device, {*bound, *_listed(identity.join("account", name))})


def _listed(scope: str) -> Iterator[str]:
    """Yield the first devices of a scope, of each part of its list."""
    for shard in range(items.SHARDS):
        yield from (entry["device"] for entry in _first(items.list_entries(scope, None, shard, "0")))


def _first(partition: Partition[Any]) -> list[Any]:
    return dynamodb.page(partition, COUNTED + 1).items


def _device(device: str) -> Dependent:
    return Dependent("device", identity.opaque(device))


def _of_domain(name: str) -> Iterator[Dependent]:
    cursor: str | None = None
    number = 0
    for _ in range(_PARTS):
        found, cursor = dependents_of_domain(name, _PART, cursor)
        yield from found
        number += len(found)
        if cursor is None or number > COUNTED:
            return
    raise Refused(
        Reason.LIMIT_REACHED,
        detail=f"The directory has more than {_PARTS * _PART:,} records: too many to look through.",
    )


def _in_domain(name: str) -> Condition:
    return (equals("domain", name) & exists("uid")) | contains("domains", name)


def _dependent(item: Mapping[str, Any]) -> Dependent:
    return Dependent("user", item["uid"]) if "uid" in item else Dependent("product", item["product_key"])


def _count(found: Iterator[Dependent]) -> dict[str, int]:
    """Return the numbers of dependents by kind. One more than `COUNTED` are that many or more."""
    counts: Counter[str] = Counter()
    for each in found:
        counts[_WORDS[each.kind]] += 1
    return {kind: min(number, COUNTED + 1) for kind, number in counts.items()}


def _require_none(counts: Mapping[str, int], *, cascade: bool) -> None:
    if not counts or cascade:
        return
    singular = {plural: word for word, plural in _WORDS.items()}
    told = [
        f"{COUNTED}+ {kind}" if number > COUNTED else f"{number} {singular[kind] if number == 1 else kind}"
        for kind, number in counts.items()
    ]
    one = sum(counts.values()) == 1
    raise Refused(
        Reason.STATUS_NOT_VALID,
        detail=f"{', '.join(told)} {'depends' if one else 'depend'} on it. Delete them first, or use --cascade.",
    )


def _wait(since: int) -> int:
    """Return how many seconds are left until no request can be running that began before a time."""
    return max(0, -((clock.now() - since - SETTLE * 1000) // 1000))


def _closed(since: int) -> Condition:
    return equals("deleting_at", since)


def _no_keys(found: items.Account) -> dict[str, Any]:
    return {group: {} for group in found["live_keys"]}


def _same(found: items.ApiKey, name: str) -> Condition:
    return absent(name) if name not in found else equals(name, found.get(name))


def _delete(key: Key[Any], when: Condition, kind: str, name: str, *also: Write) -> Deletion:
    deletion = key.delete(when=when.raises(lambda existing: Reason.CONFLICT if existing else Reason.NOT_FOUND))
    dynamodb.transact([deletion, *also, *acts.deleted(key, kind, name)])
    return Deletion(complete=True)
