"""What is held about one user: shown to them as a whole, or removed as a whole.

That is the user's record; bindings and accepted shares; the families that they own or belong to; the products that they
are barred from; leases; and, if the user is a bank's customer, that customer's registrations, nicknames and issued
devices, and the cards of other customers that they hold.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from bindery.asseco import issued_devices, owned_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Condition, Delete, Item, Key, Table
from bindery.connectivity import leases
from bindery.core.errors import Reason, Refused
from bindery.directory import emails, products, users
from bindery.operators import forced_unbind
from bindery.quectel import families, user_devices
from bindery.registry import bindings, holdings, identity
from bindery.registry.bindings import Mode

EXPORT_LIMIT = 1000
"""How much of a kind an export shows at most: a few megabytes in all, which is what a Lambda may answer."""

ERASE_LIMIT = 200
"""How much an erasure removes before it has to be asked again: it takes up to half a minute."""

KINDS = (
    "connections",
    "families",
    "bars",
    "shares",
    "bindings",
    "registrations",
    "nicknames",
    "issued_devices",
    "cards_held",
    "users",
)
"""What an erasure removes, in this order."""

_PAGES = 50
"""Round trips of one list at most: of a megabyte each, more than the limits above let through."""

_ERASED = "erased at the request of its user"
_USER = ("uid", "account", "domain", "role", "home_mode", "customer", "email", "enabled", "created_at", "changed_at")
"""Of a user's record: all but what proves who they are (the password's hash, the tokens' generation)."""
_CARD_HELD = ("device_id", "kind", "holder_id", "cardholder_name", "card_kind", "card_brand")
"""Of a card that the user holds for another customer: not whose it is, nor what else is about them."""
_OURS = frozenset(
    {
        "pk",
        "sk",
        "list",
        "holder",
        "since",
        "binding",
        "share",
        "shares",
        "by",
        "series",
        "device_key",
        "proxy",
        "connection",
        "connected",
        "generation",
        "pseudonym",
        "changed_by",
        "changed_at",
    }
)
"""What no export shows of other records: how they are kept, what lets a client through, and what is about others."""


def export(uid: str) -> Item:
    """Return everything stored about a user, by kind. `complete` is false if a kind has more than `EXPORT_LIMIT`.

    Times are in milliseconds. `user` is null if the user's own record was erased and something else is left. Raises
    `NOT_FOUND` if nothing is stored.
    """
    user = dynamodb.get(users.key(uid))
    customer = None if user is None else user["customer"]
    kinds: Mapping[str, Iterator[Item]] = {
        "bindings": (_binding(item) for item in holdings.of_user(uid, round_trips=_PAGES) if item["kind"] == "binding"),
        "shares": (_shown(item) for item in holdings.of_user(uid, round_trips=_PAGES) if item["kind"] == "share"),
        "families": (_family(item, uid) for item in _families(uid)),
        "bars": ({"product_key": item["product_key"], "created_at": item["created_at"]} for item in products.bars(uid)),
        "connections": (_shown(item) for item in _leases(uid)),
        "registrations": (_shown(item) for item in _every_registration(customer)),
        "issued_devices": (_shown(item) for item in _issued(customer)),
        "cards_held": ({name: item.get(name) for name in _CARD_HELD} for item in _cards_held(customer)),
    }
    found = {kind: list(islice(items, EXPORT_LIMIT + 1)) for kind, items in kinds.items()}
    if user is None and not any(found.values()):
        raise Refused(Reason.NOT_FOUND)
    return {
        "user": user and {name: user.get(name) for name in _USER} | {"has_password": user.get("password") is not None},
        **{kind: items[:EXPORT_LIMIT] for kind, items in found.items()},
        "complete": all(len(items) <= EXPORT_LIMIT for items in found.values()),
    }


def erase(uid: str) -> tuple[dict[str, int], bool]:
    """Remove what is stored about a user. Return how much of each kind was removed, and whether nothing is left.

    One pass: call it again until it returns True or raises `NOT_FOUND`, which means that nothing is stored. The user is
    disabled first. Their record is deleted only by a pass that found nothing else, because leases, ended registrations
    and cards held for others are found through indexes, which may lag behind the tables. If an index lagged for longer
    than that, a later pass finds what is left by the uid alone.

    A device stays, and its ban. Each thing costs up to two reads and a write, or a transaction. A connection request
    that is in progress can still write a lease, which admits nobody and expires. A bank's customer is not stopped by
    being disabled, because their tokens are the bank's: what they register later stays. A share that ended and whose
    place DynamoDB has removed is not found, so its sharer's binding names the user until the next share or the
    binding's end. Raises `CONFLICT` if a concurrent change got in the way: call it again.
    """
    user = dynamodb.get(users.key(uid))
    if user is not None:
        users.set_enabled(uid, False)
    removed: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for kind in _removals(uid, user):
        removed[kind] += 1
        if removed.total() == ERASE_LIMIT:
            break
    if removed.total() > 0:
        return dict(removed), False
    if user is None:
        raise Refused(Reason.NOT_FOUND)
    same = users.same_names(user)
    shut_out = same._replace(
        expression=f"{same.expression} AND #enabled = :false", values={**same.values, ":false": False}
    )
    dynamodb.transact([Delete(users.key(uid), shut_out), *(Delete(name) for name in emails.names(user))])
    return dict(removed | {"users": 1}), True


def _removals(uid: str, user: Item | None) -> Iterator[str]:
    """Remove one thing after the other, and yield the kind of each. `user` is None if their record was erased."""
    customer_name = None if user is None else user["customer"]
    for item in _leases(uid):
        leases.delete_lease(item)
        yield "connections"
    for fid in families.memberships(uid):
        families.remove_member(fid, uid)
        dynamodb.write(Delete(families.membership(fid, uid)))
        yield "families"
    for item in products.bars(uid):
        dynamodb.write(Delete(_place(Table.DIRECTORY, item)))
        yield "bars"
    for item in holdings.of_user(uid, round_trips=_PAGES):
        if item["kind"] == "binding":
            for share in _ended_shares(item):
                _delete_unless_replaced(share)
                yield "shares"
        _let_go(uid, user, item)
        yield f"{item['kind']}s"
    for item in _registrations(customer_name):
        _unregister(item)
        yield "registrations"
    for item in _nicknames(customer_name):
        # A registration that the index did not show yet has its guard all the same.
        if (registration := owned_devices.guarded(item)) is not None:
            _unregister(registration)
            yield "registrations"
        else:
            dynamodb.transact(owned_devices.freeing(item))
            yield "nicknames"
    for item in _issued(customer_name):
        dynamodb.write(Delete(_place(Table.DIRECTORY, item)))
        yield "issued_devices"
    for item in _cards_held(customer_name):
        issued_devices.remove_holder(item)
        yield "cards_held"


def _by_holder(holder: str) -> Iterator[Item]:
    """Yield what the index shows of a holder, each as it is in the table now, if it is still there and theirs."""
    found = dynamodb.query(
        Table.BINDINGS, "#holder = :holder", {":holder": holder}, index=bindings.BY_HOLDER, round_trips=_PAGES
    )
    for item in found:
        now = dynamodb.get(_place(Table.BINDINGS, item))
        if now is not None and now["holder"] == holder:
            yield now


def _leases(uid: str) -> Iterator[Item]:
    return _by_holder(identity.caller_holder(uid))


def _registrations(customer_name: str | None) -> Iterator[Item]:
    return iter(()) if customer_name is None else _by_holder(identity.customer_holder(customer_name))


def _every_registration(customer_name: str | None) -> Iterator[Item]:
    """Yield a customer's registrations once each: those that the index shows, then those whose nickname is guarded."""
    guarded = (owned_devices.guarded(item) for item in _nicknames(customer_name))
    seen: set[str] = set()
    for item in chain(_registrations(customer_name), filter(None, guarded)):
        if item["pk"] not in seen:
            seen.add(item["pk"])
            yield item


def _nicknames(customer_name: str | None) -> Iterator[Item]:
    return _below(Table.BINDINGS, customer_name, "nickname#")


def _issued(customer_name: str | None) -> Iterator[Item]:
    return _below(Table.DIRECTORY, customer_name, "issued#")


def _cards_held(customer_name: str | None) -> Iterator[Item]:
    """Yield the devices of other customers that name this one as their holder, each as it is in the table now."""
    if customer_name is None:
        return
    for item in issued_devices.held_for_others(customer_name):
        now = dynamodb.get(_place(Table.DIRECTORY, item))
        if now is not None and issued_devices.names_holder(now, customer_name):
            yield now


def _below(table: Table, customer_name: str | None, prefix: str) -> Iterator[Item]:
    """Yield the items with this prefix in a customer's own partition, from a consistent read."""
    if customer_name is None:
        return iter(())
    values = {":customer": identity.customer_holder(customer_name), ":prefix": prefix}
    return dynamodb.query(
        table, "#pk = :customer AND begins_with(#sk, :prefix)", values, consistent=True, round_trips=_PAGES
    )


def _families(uid: str) -> Iterator[Item]:
    """Yield the families that a user owns or belongs to now."""
    for fid in families.memberships(uid):
        family = dynamodb.get(families.key(fid))
        if family is not None and (uid == family["owner"] or uid in family["members"]):
            yield family


def _ended_shares(place: Item) -> list[Item]:
    """Return what is left of the shares of a user's binding that have ended: their records name the user (`by`)."""
    ended = [uid for uid in place["shares"] if uid not in holdings.lasting(place["shares"])]
    keys = [holdings.key(uid, place["product_key"], place["device_key"]) for uid in ended]
    if place["mode"] == Mode.MULTI:
        keys += [bindings.of_user(place["device"], uid) for uid in ended]
    found = filter(None, map(dynamodb.get, keys))
    return [item for item in found if item["binding"] == place["binding"]]


def _let_go(uid: str, user: Item | None, item: Item) -> None:
    """End what a user holds of a device, or remove its place if it has ended otherwise."""
    own = dynamodb.get(bindings.of_user(item["device"], uid)) or dynamodb.get(bindings.owner(item["device"])) or {}
    if item["kind"] == "binding" and own.get("binding") == item["binding"]:
        forced_unbind.end_as_read(own, _ERASED)
        return
    if item["kind"] == "share":
        try:
            dynamodb.transact(user_devices.giving_back(uid, item, Reason.NOT_FOUND, users.pseudonym(uid, user or {})))
            return
        except Refused as fault:
            if fault.reason is not Reason.NOT_FOUND:
                raise
    _delete_unless_replaced(item)


def _delete_unless_replaced(item: Item) -> None:
    """Delete a binding's or a share's item, if it is still the one that was read."""
    try:
        dynamodb.write(Delete(_place(Table.BINDINGS, item), user_devices.still_held(item)))
    except Refused as fault:
        # Whoever ended the binding concurrently has removed this item too.
        if fault.reason is not Reason.DEVICE_NOT_BOUND:
            raise


def _unregister(item: Item) -> None:
    """End a registration with the guard of its nickname, and remove what its last customer would still see of it."""
    if item["status"] != Status.UNREGISTERED:
        forced_unbind.end_as_read(item, _ERASED)
    dynamodb.write(Delete(_place(Table.BINDINGS, item), _still(item)))


def _family(item: Item, uid: str) -> Item:
    """A family without the others who live there."""
    return {"fid": item["fid"], "owner": item["owner"] == uid, "rooms": item["rooms"], "created_at": item["created_at"]}


def _binding(item: Item) -> Item:
    """A binding with the times at which its shares end, and not with whom it is shared."""
    return _shown(item) | {"shared_until": sorted(until * 1000 for until in item["shares"].values())}


def _shown(item: Item) -> Item:
    shown: dict[str, Any] = {name: value for name, value in item.items() if name not in _OURS}
    if "expires_at" in shown:
        shown["expires_at"] *= 1000
    device = item.get("device", item["pk"] if "holder" in item else None)
    return shown | ({} if device is None else {"device": identity.opaque(device)})


def _place(table: Table, item: Item) -> Key:
    return Key(table, item["pk"], item["sk"])


def _still(item: Item) -> Condition:
    """That a registration is the one that was read: another customer may have registered the device anew."""
    return Condition(
        expression="attribute_not_exists(#pk) OR #binding = :binding",
        values={":binding": item["binding"]},
        otherwise=Reason.CONFLICT,
    )
