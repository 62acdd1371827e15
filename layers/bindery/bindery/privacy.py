"""What is held about one user: shown to them as a whole, or removed as a whole.

That is the user's record; bindings and accepted shares; the families that they own or live in; the products that they
are barred from; leases; and, if the user is a bank's customer, that customer's registrations, nicknames and issued
devices.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from bindery import connections, directory, dynamo, identity
from bindery.bindings import customer, held, holding, record
from bindery.bindings.customer import Status
from bindery.directory import emails, families, products, users
from bindery.dynamo import Condition, Delete, Item, Key, Table
from bindery.faults import Fault, Reason

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
    "users",
)
"""What an erasure removes, in this order."""

_PAGES = 50
"""Round trips of one list at most: of a megabyte each, more than the limits above let through."""

_ERASED = "erased at the request of its user"
_USER = ("uid", "account", "domain", "role", "home_mode", "customer", "email", "enabled", "created_at", "changed_at")
"""Of a user's record: all but what proves who they are (the password's hash, the tokens' generation)."""
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
    """Everything that is held about a user, by kind; `complete` is whether no kind has more than `EXPORT_LIMIT`.

    Reads the partition of each kind. Times are in milliseconds. Raises `NOT_FOUND`.
    """
    user = users.show(uid)
    kinds: Mapping[str, Iterator[Item]] = {
        "bindings": (_shown(item) for item in held.of_user(uid, round_trips=_PAGES) if item["kind"] == "binding"),
        "shares": (_shown(item) for item in held.of_user(uid, round_trips=_PAGES) if item["kind"] == "share"),
        "families": (_family(item, uid) for item in _families(uid)),
        "bars": ({"product_key": item["product_key"], "created_at": item["created_at"]} for item in _bars(uid)),
        "connections": (_shown(item) for item in _held(identity.caller_holder(uid))),
        "registrations": (_shown(item) for item in _registrations(user)),
        "nicknames": (
            {"device": identity.opaque(item["device"]), "nickname": item["sk"].partition("#")[2]}
            for item in _nicknames(user)
        ),
        "issued_devices": (_shown(item) for item in _issued(user)),
    }
    found = {kind: list(islice(items, EXPORT_LIMIT + 1)) for kind, items in kinds.items()}
    return {
        "user": {name: user.get(name) for name in _USER} | {"has_password": user.get("password") is not None},
        **{kind: items[:EXPORT_LIMIT] for kind, items in found.items()},
        "complete": all(len(items) <= EXPORT_LIMIT for items in found.values()),
    }


def erase(uid: str) -> tuple[dict[str, int], bool]:
    """Remove everything that is held about a user; how much of what was removed, and whether that was all.

    The user is disabled first, so that nothing new arises, and their record goes last: an erasure that was interrupted,
    or came to `ERASE_LIMIT`, is asked for again and goes on where it ended. A device stays, and its ban. Each thing
    costs a read and a write, or one transaction. A request of the user that is under way may outlive all of it: disable
    the user a while before. A bank's customer is not stopped by that, as their tokens are the bank's and no record is
    asked for: what they register meanwhile is ended too, what they register afterwards stands. A share that ended and
    whose place DynamoDB has removed is not found, so its sharer's binding and place name the user until the next share
    or the binding's end. Raises `NOT_FOUND`, and `CONTENDED` if another change came between.
    """
    user = users.show(uid)
    users.set_enabled(uid, False)
    removed: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    for kind in _removals(user):
        removed[kind] += 1
        if removed.total() == ERASE_LIMIT:
            return dict(removed), False
    same = users.same_names(user)
    shut_out = same._replace(
        expression=f"{same.expression} AND #enabled = :false", values={**same.values, ":false": False}
    )
    dynamo.transact([Delete(users.key(uid), shut_out), *(Delete(name) for name in emails.names(user))])
    removed["users"] += 1
    return dict(removed), True


def _removals(user: Item) -> Iterator[str]:
    """Remove one thing after the other, and say of which kind it was."""
    uid = user["uid"]
    for item in _held(identity.caller_holder(uid)):
        connections.forget(item)
        yield "connections"
    for family in _families(uid):
        families.forget(family["fid"], uid)
        yield "families"
    for note in _listed(families.memberships(uid)):
        dynamo.write(Delete(_place(Table.DIRECTORY, note)))
    for item in _bars(uid):
        dynamo.write(Delete(_place(Table.DIRECTORY, item)))
        yield "bars"
    for item in held.of_user(uid, round_trips=_PAGES):
        _let_go(user, item)
        yield f"{item['kind']}s"
    for item in _standing(_registrations(user)):
        _unregister(item)
        yield "registrations"
    for item in _nicknames(user):
        # A registration that the index did not show yet has its guard all the same.
        if (registration := customer.guarded(item)) is not None:
            _unregister(registration)
            yield "registrations"
        else:
            dynamo.transact(customer.freeing(item))
            yield "nicknames"
    for item in _issued(user):
        dynamo.write(Delete(_place(Table.DIRECTORY, item)))
        yield "issued_devices"


def _held(holder: str) -> Iterator[Item]:
    """What a holder holds, by the index, which may be some milliseconds late."""
    return dynamo.query(
        Table.BINDINGS, "#holder = :holder", {":holder": holder}, index=record.BY_HOLDER, round_trips=_PAGES
    )


def _standing(found: Iterator[Item]) -> Iterator[Item]:
    """Of what the index shows, what still stands there and is the same holder's, as it is now."""
    for item in found:
        now = dynamo.get(_place(Table.BINDINGS, item))
        if now is not None and now["holder"] == item["holder"]:
            yield now


def _registrations(user: Item) -> Iterator[Item]:
    return _held(identity.customer_holder(user["customer"])) if user["customer"] is not None else iter(())


def _nicknames(user: Item) -> Iterator[Item]:
    return _below(Table.BINDINGS, user, "nickname#")


def _issued(user: Item) -> Iterator[Item]:
    return _below(Table.DIRECTORY, user, "issued#")


def _below(table: Table, user: Item, prefix: str) -> Iterator[Item]:
    """What stands in a customer's own partition."""
    if user["customer"] is None:
        return iter(())
    values = {":customer": identity.customer_holder(user["customer"]), ":prefix": prefix}
    return dynamo.query(
        table, "#pk = :customer AND begins_with(#sk, :prefix)", values, consistent=True, round_trips=_PAGES
    )


def _families(uid: str) -> Iterator[Item]:
    """The families that a user owns, and those in which they live."""
    fids = [found["fid"] for listed in (families.listed(uid), families.memberships(uid)) for found in _listed(listed)]
    for fid in dict.fromkeys(fids):
        family = dynamo.get(families.key(fid))
        if family is not None and (uid == family["owner"] or uid in family["members"]):
            yield family


def _bars(uid: str) -> Iterator[Item]:
    return _listed(products.bars(uid))


def _listed(listed: str) -> Iterator[Item]:
    """What stands under a name in the index by list."""
    return dynamo.query(
        Table.DIRECTORY, "#list = :list", {":list": listed}, index=directory.BY_LIST, round_trips=_PAGES
    )


def _let_go(user: Item, item: Item) -> None:
    """End what a user holds of a device, or remove its place if it has ended otherwise."""
    uid = user["uid"]
    place = _place(Table.BINDINGS, item)
    own = dynamo.get(record.of_user(item["device"], uid)) or dynamo.get(record.owner(item["device"])) or {}
    if item["kind"] == "binding" and own.get("binding") == item["binding"]:
        holding.end_as_read(own, _ERASED)
        return
    if item["kind"] == "share":
        try:
            dynamo.transact(held.giving_back(uid, item, Reason.NOT_FOUND, users.pseudonym(uid, user)))
            return
        except Fault as fault:
            if fault.reason is not Reason.NOT_FOUND:
                raise
    try:
        dynamo.write(Delete(place, held.still_held(item)))
    except Fault as fault:
        # Whoever ended the binding meanwhile has removed its place too.
        if fault.reason is not Reason.DEVICE_NOT_BOUND:
            raise


def _unregister(item: Item) -> None:
    """End a registration with the guard of its nickname, and remove what its last customer would still see of it."""
    if item["status"] != Status.UNREGISTERED:
        holding.end_as_read(item, _ERASED)
    dynamo.write(Delete(_place(Table.BINDINGS, item), _still(item)))


def _family(item: Item, uid: str) -> Item:
    """A family without the others who live there."""
    return {"fid": item["fid"], "owner": item["owner"] == uid, "rooms": item["rooms"], "created_at": item["created_at"]}


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
        otherwise=Reason.CONTENDED,
    )
