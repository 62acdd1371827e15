"""Export and erasure of everything stored about a user."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, cast

from bindery.asseco import issued_devices, owned_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Read, T, Table, Write
from bindery.aws.expressions import absent, equals
from bindery.connectivity import device_connections, leases, presence
from bindery.core.errors import Reason, Refused
from bindery.directory import login_names, products, users
from bindery.feed import people
from bindery.operators import forced_unbind, history
from bindery.quectel import families, transfers, user_devices
from bindery.registry import acts, holdings, identity, items
from bindery.registry.bindings import Mode, share_id

EXPORT_LIMIT = 1000
"""Records of a kind, to fit in a Lambda response."""

ERASE_LIMIT = 200
"""Records that one call removes, in up to half a minute."""

KINDS = (
    "connections",
    "tunnels",
    "service_names",
    "families",
    "bars",
    "offers",
    "shares",
    "bindings",
    "registrations",
    "nicknames",
    "issued_devices",
    "cards_held",
    "pseudonyms",
    "users",
)
"""In the order of removal."""

Records = Sequence[Mapping[str, Any]]

_NO_RECORDS: Records = ()
_OF_USER = ("bindings", "shares", "families", "bars", "offers", "connections", "tunnels", "service_names")

# Round trips of a megabyte each: more than the limits above need.
_PAGES = 50

_BATCH = 100

_ERASED = "erased at the request of its user"
# Not what authenticates a user: the password's hash and the generation of tokens.
_USER = (
    "uid",
    "account",
    "domain",
    "role",
    "home_mode",
    "customer",
    "email",
    "phone",
    "enabled",
    "created_at",
    "changed_at",
)
# Of another customer's card, nothing about that customer.
_CARD_HELD = ("device_id", "kind", "holder_id", "cardholder_name", "card_kind", "card_brand")
# Keys and internals, credentials of clients, and whatever is about other users.
_HIDDEN = frozenset(
    {
        "pk",
        "sk",
        "collection",
        "holder",
        "holder_sort",
        "binding",
        "share",
        "shares",
        "by",
        "series",
        "device_key",
        "label",
        "connection",
        "credential",
        "leases",
        "generation",
        "key_id",
        "pseudonym",
        "changed_by",
        "changed_at",
    }
)


def export(uid: str) -> dict[str, Any]:
    """Return everything stored about a user, by kind. `complete` is false if a kind exceeds `EXPORT_LIMIT`.

    `user` is None if only other records are left. Raises `NOT_FOUND`.
    """
    user = dynamodb.get(items.user(uid))
    customer = None if user is None else user["customer"]
    found = _of_user(uid) | _of_customer(customer) | _of_both(uid, customer)
    if user is None and not any(found.values()):
        raise Refused(Reason.NOT_FOUND)
    shown = user and _selected(user, _USER) | {"has_password": user.get("password") is not None}
    return _within_limit({"user": shown}, found)


def export_customer(customer: str) -> dict[str, Any]:
    """Return everything stored about a bank's customer, who need not be a user. Raises `NOT_FOUND`."""
    found = dict.fromkeys(_OF_USER, _NO_RECORDS) | _of_customer(customer) | _of_both(None, customer)
    if not any(found.values()):
        raise Refused(Reason.NOT_FOUND)
    return _within_limit({"user": None}, found)


def _within_limit(user: dict[str, Any], found: Mapping[str, Records]) -> dict[str, Any]:
    return {
        **user,
        **{kind: records[:EXPORT_LIMIT] for kind, records in found.items()},
        "complete": all(len(records) <= EXPORT_LIMIT for records in found.values()),
    }


def stored(uid: str | None, customer: str | None) -> dict[str, int]:
    """Return the number of records now stored about a user, a customer or both, by kind, without zeros."""
    both: Counter[str] = Counter()
    if uid is not None:
        both |= _numbers(export, uid)
    if customer is not None:
        both |= _numbers(export_customer, customer)
    return dict(both)


def _numbers(export_of: Callable[[str], dict[str, Any]], name: str) -> Counter[str]:
    try:
        found = export_of(name)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        return Counter()
    user, _ = found.pop("user"), found.pop("complete")
    return Counter({kind: len(records) for kind, records in found.items()} | {"users": int(user is not None)})


def customer_of(uid: str) -> str | None:
    """Return the bank customer that a user is, or None."""
    user = dynamodb.get(items.user(uid))
    return None if user is None else user["customer"]


def created_at(uid: str) -> int | None:
    """Return when a user was created, or None if there is none."""
    user = dynamodb.get(items.user(uid))
    return None if user is None else user["created_at"]


def _read(kinds: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, Records]:
    """Return the records of each kind, one more than `EXPORT_LIMIT` if there are more."""
    return {kind: list(islice(records, EXPORT_LIMIT + 1)) for kind, records in kinds.items()}


def _of_user(uid: str) -> dict[str, Records]:
    kinds: Mapping[str, Iterator[Mapping[str, Any]]] = {
        "bindings": (_binding(held) for held in _held(uid) if held["kind"] == "binding"),
        "shares": (_visible(held) for held in _held(uid) if held["kind"] == "share"),
        "families": (_family(family, uid) for family in _families(uid)),
        "bars": chain(map(_bar, products.bars(uid)), map(_lifted_bar, _lifted_bars(uid))),
        "offers": map(_offer, _offers(uid)),
        "connections": map(_visible, _leases(uid)),
        "tunnels": map(_tunnel, _tunnels(uid)),
        "service_names": (
            {"address": name["sk"].partition("#")[2], "name": name["name"]} for name in _service_names(uid)
        ),
    }
    return _read(kinds)


def _of_customer(customer: str | None) -> dict[str, Records]:
    return _read(
        {
            "registrations": map(_visible, _every_registration(customer)),
            "issued_devices": map(_visible, _issued(customer)),
            "cards_held": (_selected(card, _CARD_HELD) for card in _cards_held(customer)),
        }
    )


def _of_both(uid: str | None, customer: str | None) -> dict[str, Records]:
    kinds: Mapping[str, Iterator[Mapping[str, Any]]] = {
        "presences": (_presence(last) for last in _known(items.presence, uid, customer)),
        "properties": (_properties(last) for last in _known(items.properties, uid, customer)),
        "pseudonyms": (_pseudonym(holder, person) for holder, person in _persons(uid, customer)),
        "events": (_event(event) for _, person in _persons(uid, customer) for event in history.all_of_person(person)),
    }
    return _read(kinds)


def erase(uid: str, *, begun: bool = False) -> tuple[dict[str, int], bool]:
    """Remove up to `ERASE_LIMIT` records. Return their numbers by kind, and True if nothing is left.

    Call it until it returns True, also after `CONFLICT`. docs/operating.md describes what it can miss. Raises
    `NOT_FOUND` if nothing is stored, unless an earlier call has `begun`.
    """
    user = dynamodb.get(items.user(uid))
    if user is not None:
        users.set_enabled(uid, False)
    removed = _counted(_removals(uid, user))
    # Indexes may lag behind their tables, so the user is deleted only by a call that found nothing else. If an index
    # lags for longer than that, a later call finds what is left by the uid alone.
    if removed.total() > 0:
        return dict(removed), False
    removed["pseudonyms"] = _erase_user(uid, user, begun=begun)
    return dict(removed | {"users": 0 if user is None else 1}), True


def erase_customer(customer: str, *, begun: bool) -> tuple[dict[str, int], bool]:
    """Remove up to `ERASE_LIMIT` records about a bank's customer, as `erase` does. Users linked to them stay.

    Call it until it returns True. Raises `NOT_FOUND` if nothing is stored, unless an earlier call has `begun`.
    """
    removed = _counted(chain(_end_registrations(customer), _remove_issued(customer)))
    if any(removed.values()):
        return dict(removed), False
    holder = identity.customer_holder(customer)
    person = history.pseudonym(holder)
    if person is None and not begun:
        raise Refused(Reason.NOT_FOUND)
    dynamodb.transact([people.erasure(holder), *acts.erased(person or "", "customer")])
    return dict(removed | {"pseudonyms": 0 if person is None else 1}), True


def _counted(removals: Iterator[str]) -> Counter[str]:
    """Remove up to `ERASE_LIMIT` records. Return their numbers by kind."""
    removed = Counter(dict.fromkeys(KINDS, 0))
    removed.update(islice(removals, ERASE_LIMIT))
    return removed


def _erase_user(uid: str, user: items.User | None, *, begun: bool) -> int:
    """Delete a user and the user's pseudonyms, last. Return the number of pseudonyms."""
    customer = None if user is None else user["customer"]
    persons = dict(_persons(uid, customer))
    if user is None and not persons:
        if begun:
            return 0
        raise Refused(Reason.NOT_FOUND)
    # Also without a pseudonym: what the person did last may not have been recorded yet.
    writes: list[Write] = [people.erasure(holder) for holder in _person_holders(uid, customer)]
    if user is not None:
        unchanged = users.same_names(user) & equals("enabled", False)
        writes.insert(0, items.user(uid).delete(when=unchanged.raises(_changed_or_erased)))
        writes += [name.delete() for name in login_names.names(user)]
        writes += acts.erased(persons.get(identity.user_holder(uid), ""))
    dynamodb.transact(writes)
    return len(persons)


def _person_holders(uid: str | None, customer: str | None) -> list[str]:
    """Return a user and their bank customer as holders."""
    user = [] if uid is None else [identity.user_holder(uid)]
    return user if customer is None else [*user, identity.customer_holder(customer)]


def _persons(uid: str | None, customer: str | None) -> Iterator[tuple[str, str]]:
    """Yield a user and their bank customer as holders with their pseudonyms in events, if they have one."""
    for holder in _person_holders(uid, customer):
        if (person := history.pseudonym(holder)) is not None:
            yield holder, person


def _changed_or_erased(existing: Mapping[str, Any]) -> Reason:
    return Reason.CONFLICT if existing else Reason.NOT_FOUND


def _removals(uid: str, user: items.User | None) -> Iterator[str]:
    for lease in _leases(uid):
        leases.delete_lease(lease)
        yield "connections"
    for tunnel in _tunnels(uid):
        dynamodb.write(items.key_of(Table.BINDINGS, tunnel).delete())
        yield "tunnels"
    for name in _service_names(uid):
        dynamodb.write(items.key_of(Table.BINDINGS, name).delete())
        yield "service_names"
    for fid in families.memberships(uid):
        families.remove_member(fid, uid)
        dynamodb.write(items.membership(fid, uid).delete())
        yield "families"
    for bar in products.bars(uid):
        dynamodb.write(items.key_of(Table.DIRECTORY, bar).delete())
        yield "bars"
    for lifted in _lifted_bars(uid):
        dynamodb.write(items.key_of(Table.BINDINGS, lifted).delete())
        yield "bars"
    for note in _offers(uid):
        transfers.erase_offer(uid, note)
        yield "offers"
    yield from _end_holdings(uid, user)
    customer = None if user is None else user["customer"]
    yield from _end_registrations(customer)
    yield from _remove_issued(customer)


def _end_holdings(uid: str, user: items.User | None) -> Iterator[str]:
    for held in _held(uid):
        if held["kind"] == "binding":
            for share in _expired_shares(held):
                _delete_unchanged(share)
                yield "shares"
        _end_holding(uid, user, held)
        yield f"{held['kind']}s"


def _end_registrations(customer: str | None) -> Iterator[str]:
    for registration in _registrations(customer):
        _unregister(registration)
        yield "registrations"
    for lock in _nicknames(customer):
        # The index may not show a new registration yet, but its nickname is locked.
        if (locked := owned_devices.locked(lock)) is not None:
            _unregister(locked)
            yield "registrations"
        else:
            dynamodb.transact(owned_devices.unlock(lock))
            yield "nicknames"


def _remove_issued(customer: str | None) -> Iterator[str]:
    for device in _issued(customer):
        dynamodb.write(items.key_of(Table.DIRECTORY, device).delete())
        yield "issued_devices"
    for card in _cards_held(customer):
        issued_devices.remove_holder(card)
        yield "cards_held"


def _held(uid: str) -> Iterator[items.UserDevice]:
    return holdings.of_user(uid, round_trips=_PAGES)


def _leases(uid: str) -> Iterator[items.Connection]:
    return _current(dynamodb.query(items.connections_of(uid), round_trips=_PAGES), identity.caller_holder(uid))


def _tunnels(uid: str) -> Iterator[items.Tunnel]:
    return _current(dynamodb.query(items.tunnels_of(uid), round_trips=_PAGES), identity.tunnel_holder(uid))


def _known(kind: Callable[[str], Key[Any]], uid: str | None, customer: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield what is known of the user's devices from their connections under the user's bindings."""
    held = ((each["device"], each["binding"]) for each in _bindings(uid))
    registered = ((each["pk"], each["binding"]) for each in _every_registration(customer))
    bindings = chain(held, registered)
    while part := list(islice(bindings, _BATCH)):
        found = dynamodb.get_many([Read(kind(device)) for device, _ in part])
        for device, binding in part:
            known = found[kind(device)]
            if known is not None and known["binding"] == binding:
                yield known


def _bindings(uid: str | None) -> Iterator[items.UserDevice]:
    return iter(()) if uid is None else (held for held in _held(uid) if held["kind"] == "binding")


def _service_names(uid: str) -> Iterator[items.ServiceName]:
    return dynamodb.query(items.service_names(uid), consistent=True, round_trips=_PAGES)


def _offers(uid: str) -> Iterator[items.OfferNote]:
    return dynamodb.query(items.offer_notes(uid), consistent=True, round_trips=_PAGES)


def _registrations(customer: str | None) -> Iterator[items.Registration]:
    if customer is None:
        return iter(())
    holder = identity.customer_holder(customer)
    found = _current(dynamodb.query(items.held_by(holder), round_trips=_PAGES), holder)
    return filter(forced_unbind.is_registration, found)


def _current(listed: Iterable[T], holder: str) -> Iterator[T]:
    """Yield items from an index as they are now."""
    for item in listed:
        now = dynamodb.get(items.key_of(Table.BINDINGS, item))
        if now is not None and now["holder"] == holder:
            yield now


def _every_registration(customer: str | None) -> Iterator[items.Registration]:
    locked = filter(None, map(owned_devices.locked, _nicknames(customer)))
    seen: set[str] = set()
    for registration in chain(_registrations(customer), locked):
        if registration["pk"] not in seen:
            seen.add(registration["pk"])
            yield registration


def _nicknames(customer: str | None) -> Iterator[items.NicknameLock]:
    if customer is None:
        return iter(())
    return dynamodb.query(items.nickname_locks(customer), consistent=True, round_trips=_PAGES)


def _issued(customer: str | None) -> Iterator[items.IssuedDevice]:
    if customer is None:
        return iter(())
    return dynamodb.query(items.issued_devices(customer), consistent=True, round_trips=_PAGES)


def _cards_held(customer: str | None) -> Iterator[items.IssuedDevice]:
    if customer is None:
        return
    for listed in issued_devices.held_for_others(customer):
        now = dynamodb.get(items.key_of(Table.DIRECTORY, listed))
        if now is not None and issued_devices.names_holder(now, customer):
            yield now


def _lifted_bars(uid: str) -> Iterator[items.Act]:
    return dynamodb.query(items.deletions(items.bar("", uid)), consistent=True, round_trips=_PAGES)


def _families(uid: str) -> Iterator[items.Family]:
    for fid in families.memberships(uid):
        family = dynamodb.get(items.family(fid))
        if family is not None and (uid == family["owner"] or uid in family["members"]):
            yield family


def _expired_shares(held: items.UserDevice) -> list[items.UserDevice | items.Binding]:
    """Return a binding's expired shares: they name the user (`by`)."""
    lasting = holdings.lasting(held["shares"])
    expired = [uid for uid in held["shares"] if uid not in lasting]
    entries = [items.user_device(uid, held["product_key"], held["device_key"]) for uid in expired]
    bindings = [items.user_binding(held["device"], uid) for uid in expired] if held["mode"] == Mode.MULTI else []
    found = [*map(dynamodb.get, entries), *map(dynamodb.get, bindings)]
    return [share for share in found if share is not None and share["binding"] == held["binding"]]


def _end_holding(uid: str, user: items.User | None, held: items.UserDevice) -> None:
    device = held["device"]
    own = dynamodb.get(items.user_binding(device, uid)) or dynamodb.get(items.owner(device))
    if held["kind"] == "binding" and own is not None and own["binding"] == held["binding"]:
        # First, because an interrupted erasure does not find the device any more once its binding has ended.
        device_connections.close(device, own["binding"], "unbound")
        forced_unbind.end_unchanged(own, _ERASED, "erased")
        return
    if held["kind"] == "share":
        try:
            given_back = user_devices.give_back(uid, held, Reason.NOT_FOUND, users.pseudonym(uid, user or {}))
            multi = held["mode"] == Mode.MULTI
            ended = held["share"] if multi else share_id(held["binding"], uid)
            dynamodb.transact([*given_back, *acts.ending(device, ended, _ERASED, "erased")])
            return
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
    _delete_unchanged(held)


def _delete_unchanged(held: items.UserDevice | items.Binding) -> None:
    try:
        still_held = user_devices.still_held(cast("items.UserDevice", held))
        dynamodb.write(items.key_of(Table.BINDINGS, held).delete(when=still_held))
    except Refused as refused:
        # A concurrent request that ended the binding has deleted this item too.
        if refused.reason is not Reason.DEVICE_NOT_BOUND:
            raise


def _unregister(registration: items.Registration) -> None:
    """End and delete a registration."""
    if registration["status"] != Status.UNREGISTERED:
        forced_unbind.end_unchanged(registration, _ERASED, "erased")
    # The customer may have ended the registration, which keeps what is known of the device.
    device_connections.close(registration["pk"], registration["binding"], "unbound")
    # Another customer may have registered the device again.
    unchanged = (absent() | equals("binding", registration["binding"])).raises(Reason.CONFLICT)
    dynamodb.write(items.key_of(Table.BINDINGS, registration).delete(when=unchanged))


def _family(family: items.Family, uid: str) -> dict[str, Any]:
    return {
        "fid": family["fid"],
        "owner": family["owner"] == uid,
        "rooms": family["rooms"],
        "created_at": family["created_at"],
    }


def _bar(bar: items.Bar) -> dict[str, Any]:
    return {"product_key": bar["product_key"], "created_at": bar["created_at"]}


def _offer(note: items.OfferNote) -> dict[str, Any]:
    """Return an offer to the user, with its end unless it has ended with its binding."""
    offer = (dynamodb.get(items.owner(note["device"])) or {}).get("offer")
    known = offer is not None and offer["id"] == note["offer"]
    return {"device": identity.opaque(note["device"]), "expires_at": offer["until"] * 1000 if offer and known else None}


def _lifted_bar(act: items.Act) -> dict[str, Any]:
    return {"product_key": act["id"], "lifted_at": act["at"]}


def _binding(held: items.UserDevice) -> dict[str, Any]:
    return _visible(held) | {"shared_until": sorted(until * 1000 for until in held["shares"].values())}


def _pseudonym(holder: str, person: str) -> dict[str, str]:
    kind, _ = identity.holder_parts(holder)
    return {"kind": kind, "id": person}


def _event(event: items.Event) -> dict[str, Any]:
    data = {name: value for name, value in event["data"].items() if name != "operator"}
    return {"id": event["id"], "type": event["type"], "at": event["at"], "data": data}


def _tunnel(tunnel: items.Tunnel) -> dict[str, Any]:
    return {"device": identity.opaque(tunnel["pk"]), "expires_at": tunnel["expires_at"] * 1000}


def _presence(last: Mapping[str, Any]) -> dict[str, Any]:
    shown = _selected(last, ("ip", "agent", "connected_at"))
    return {
        "device": identity.opaque(last["pk"]),
        **shown,
        "last_seen_at": presence.last_seen(cast("items.Presence", last)),
    }


def _properties(last: Mapping[str, Any]) -> dict[str, Any]:
    values = {code: {"value": each["value"], "at": each["at"]} for code, each in last["values"].items()}
    return {"device": identity.opaque(last["pk"]), "values": values}


def _selected(item: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: item.get(name) for name in names}


def _visible(item: Mapping[str, Any]) -> dict[str, Any]:
    visible = {name: value for name, value in item.items() if name not in _HIDDEN}
    if "expires_at" in visible:
        visible["expires_at"] *= 1000
    device = item.get("device", item["pk"] if "holder" in item else None)
    return visible | ({} if device is None else {"device": identity.opaque(device)})
