"""quectel: users share devices by share codes, for a limited time.

The `owner` item names the shares; in multi mode, each is an item. Every function also raises `TOKEN_INVALID` and
`LOOKUP_FAILED`.
"""

from enum import IntEnum
from typing import Any, ClassVar, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Check, Key, Put, Read, Update, Write
from bindery.aws.expressions import Condition, absent, at_most, equals, exists
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import binding, share_codes, user_devices, user_domains
from bindery.quectel.share_codes import Offer
from bindery.quectel.user_devices import Device
from bindery.registry import bindings, holdings, identity, items
from bindery.registry.bindings import Mode
from bindery.security.throttling import Limit

ACCEPTING_SECONDS = 24 * 3600
"""Default time to accept a code."""

ACCEPTING_LIMIT = 30 * 24 * 3600

SHARING_LIMIT = 3653 * 24 * 3600
"""Maximum and default: ten years."""


class Cover(IntEnum):
    """Effect of a new code on the sharer's previous codes. Accepted shares stay."""

    REPLACE = 1
    """They end."""
    ADD = 2
    """They stay valid."""
    EXTEND = 3
    """They end. The new share must not end before the last one."""


class _Guesses(binding.Guesses):
    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (binding.Guesses.LIMITS[0]._replace(throttled=Reason.SHARE_THROTTLED),)


class _Looks(binding.Guesses):
    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (binding.Guesses.LIMITS[0]._replace(throttled=Reason.LOOK_THROTTLED),)


class _Found(NamedTuple):
    user: User
    guesses: binding.Guesses
    sharers: items.UserDevice | None
    """The sharer's entry, if their session has not ended."""
    own: items.UserDevice | None
    product: items.Product | None


def offer(
    session: Session,
    product_key: str,
    device_key: str,
    *,
    accepting_until: int | None,
    sharing_until: int | None,
    cover: Cover,
) -> str:
    """Return a code by which others can accept a share. Times are milliseconds.

    Raises `TIMESTAMP_INVALID`, `SHARING_TOO_SHORT`, `DEVICE_NOT_BOUND`, `DOMAIN_ABNORMAL`, `SHARING_FORBIDDEN`,
    `SHARING_SHORTENED` and `CONFLICT`.
    """
    now = clock.seconds()
    accepting = now + ACCEPTING_SECONDS if accepting_until is None else accepting_until // 1000
    sharing = now + SHARING_LIMIT if sharing_until is None else sharing_until // 1000
    if unsuited := _unsuited(now, accepting, sharing):
        session.look_up(Reason.LOOKUP_FAILED)
        raise Refused(unsuited)
    domain = user_domains.lookup(session.domain)
    _, held, found = user_devices.get_own(session, product_key, device_key, domain)
    user_domains.check(found[domain.key])
    if held["kind"] == "share":
        raise Refused(Reason.SHARING_FORBIDDEN)
    series = held["series"] if cover is Cover.ADD else bindings.new_id()
    entry = items.user_device(session.uid, product_key, device_key)
    offered: items.UserDevice = {"series": series, "offered_until": sharing}
    dynamodb.write(entry.update(set=offered, when=_may_cover(cover, held, sharing)))
    made = Offer(
        session.uid,
        session.generation,
        held["product_key"],
        held["device_key"],
        held["binding"],
        series,
        accepting,
        sharing,
    )
    return share_codes.encode(made, session.account, session.domain)


def look(session: Session, code: str) -> Device:
    """Return a code's device; before acceptance, without serial number, `authKey` and holder.

    Raises `DOMAIN_ABNORMAL`, `LOOK_THROTTLED` and `NOT_SHARED`.
    """
    offer = _decode(session, code, _Looks, Reason.NOT_SHARED)
    found = _read(session, offer, _Looks)
    # Concurrent guesses may have used up the limit since the read.
    dynamodb.transact([found.guesses.key.check(found.guesses.within())])
    own, sharers, product = found.own, found.sharers, found.product
    if own is not None and holdings.lasts(own) and own["binding"] == offer.binding:
        return user_devices.describe(session, own, product, user_devices.is_online(own))
    if not products.serves(product, session.domain) or sharers is None or _is_over(offer, sharers):
        raise Refused(Reason.NOT_SHARED)
    return Device(
        product_key=sharers["product_key"],
        product_name=product["name"],
        device_key=sharers["device_key"],
        serial="",
        name=sharers["name"],
        auth_key="",
        mode=Mode(sharers["mode"]),
        shared=True,
        capabilities=user_devices.capabilities(sharers, product),
        fid=None,
        frid=None,
        uid=session.uid,
        bound_at=None,
        share_code=code,
        online=False,
    )


def accept(session: Session, code: str, name: str | None) -> None:
    """Accept a code's share, under `name` or the sharer's name for the device.

    Raises `DOMAIN_ABNORMAL`, `SHARE_THROTTLED`, `ALREADY_BOUND`, `SHARE_ACCEPTED`, `SHARE_UNKNOWN`,
    `DOMAIN_NOT_AUTHORISED`, `LIMIT_REACHED`, `PRODUCT_FORBIDDEN`, `DEVICE_BANNED`, `CONFLICT` and `BINDING_FAILED`.
    """
    offer = _decode(session, code, _Guesses, Reason.SHARE_UNKNOWN)
    found = _read(session, offer, _Guesses)
    sharers = _judge(session, offer, found)
    accepted = _entry(session, offer, sharers, name)
    dynamodb.transact(_writes(found, offer, sharers, accepted))


def _judge(session: Session, offer: Offer, found: _Found) -> items.UserDevice:
    """Return the sharer's entry, or raise the first reason that applies."""
    user_devices.check_not_held(found.own)
    if found.sharers is None or _is_over(offer, found.sharers):
        raise Refused(Reason.SHARE_UNKNOWN)
    if not products.serves(found.product, session.domain):
        raise Refused(Reason.DOMAIN_NOT_AUTHORISED)
    if len(holdings.lasting(found.sharers["shares"])) >= user_devices.SHARE_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
    return found.sharers


def _entry(session: Session, offer: Offer, sharers: items.UserDevice, name: str | None) -> items.UserDevice:
    return {
        "kind": "share",
        "device": sharers["device"],
        "binding": sharers["binding"],
        "mode": sharers["mode"],
        "product_key": sharers["product_key"],
        "serial": sharers["serial"],
        "device_key": sharers["device_key"],
        "share": bindings.new_id(),
        "by": offer.sharer,
        "generation": offer.generation,
        "name": name or sharers["name"],
        "capabilities": sharers["capabilities"],
        "fid": None,
        "frid": None,
        "common": False,
        "bound_at": clock.now(),
        "domain": session.domain,
        "series": offer.series,
        "accepting_until": offer.accepting_until,
        "expires_at": offer.sharing_until,
    }


def _writes(found: _Found, offer: Offer, sharers: items.UserDevice, accepted: items.UserDevice) -> list[Write | Check]:
    """Return writes whose conditions repeat the checks."""
    user, device = found.user, accepted["device"]
    shares = holdings.lasting(sharers["shares"]) | {user.uid: offer.sharing_until}
    own_entry, sharers_entry = (
        items.user_device(uid, offer.product_key, offer.device_key) for uid in (user.uid, offer.sharer)
    )
    return [
        found.guesses.key.check(found.guesses.within()),
        items.user(user.uid).check(_session_still_valid(user.generation).raises(Reason.TOKEN_INVALID)),
        _put_share(user, accepted) if accepted["mode"] == Mode.MULTI else _add_share(user, sharers, shares),
        sharers_entry.update(set={"shares": shares}, when=_offer_unchanged(user.uid, sharers, offer.series)),
        # Never the user's own record: their own entry for the device was refused before.
        items.user(offer.sharer).check(_session_still_valid(offer.generation).raises(Reason.SHARE_UNKNOWN)),
        own_entry.put(accepted, when=user_devices.entry_available(device)),
        # Last, because these two are not judged before: the conditions on the share take precedence here too.
        items.bar(offer.product_key, user.uid).check(binding.NOT_BARRED),
        items.device(device).check(_NOT_BANNED),
    ]


def _unsuited(now: int, accepting: int, sharing: int) -> Reason | None:
    if not now < accepting <= now + ACCEPTING_LIMIT or sharing > now + SHARING_LIMIT:
        return Reason.TIMESTAMP_INVALID
    return Reason.SHARING_TOO_SHORT if sharing <= accepting else None


def _may_cover(cover: Cover, held: items.UserDevice, sharing: int) -> Condition:
    condition, changed = equals("binding", held["binding"]), Reason.CONFLICT
    if cover is Cover.ADD:
        # If a concurrent write has ended the previous codes, adding to them must not make them valid again.
        condition &= equals("series", held["series"])
    elif cover is Cover.EXTEND:
        condition &= absent("offered_until") | at_most("offered_until", sharing)
        changed = Reason.SHARING_SHORTENED
    return condition.raises(
        lambda now: changed if now.get("binding") == held["binding"] else Reason.DEVICE_NOT_BOUND,
    )


def _decode(session: Session, code: str, guesses: type[binding.Guesses], unknown: Reason) -> Offer:
    """Return a code's offer. An invalid one counts as a failed guess and raises `unknown`."""
    offered = share_codes.decode(code, session)
    if offered is None:
        _, accepted, _ = _authenticate(session, guesses)
        # A transaction, because a valid code takes one too.
        dynamodb.transact([accepted.count()])
        raise Refused(unknown)
    return offered


def _read(session: Session, offer: Offer, guesses: type[binding.Guesses]) -> _Found:
    sharer, product = items.user(offer.sharer), items.product(offer.product_key)
    entry, own = (items.user_device(uid, offer.product_key, offer.device_key) for uid in (offer.sharer, session.uid))
    user, accepted, found = _authenticate(session, guesses, sharer, entry, own, product)
    known = found[sharer]
    # A sharer who moves to another user domain has another generation. Their account is the user's, which is enabled.
    lasts = known is not None and known["enabled"] and known["generation"] == offer.generation
    return _Found(user, accepted, found[entry] if lasts else None, found[own], found[product])


def _authenticate(
    session: Session, guesses: type[binding.Guesses], *keys: Key[Any]
) -> tuple[User, binding.Guesses, Batch]:
    count, domain = items.guesses(session.uid), user_domains.lookup(session.domain)
    reads = [Read(key, Reason.LOOKUP_FAILED) for key in (count, *keys)]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), domain, *reads])
    user = session.confirm(found)
    user_domains.check(found[domain.key])
    return user, guesses.accept(count, found[count]), found


def _is_over(offer: Offer, sharers: items.UserDevice) -> bool:
    now = clock.seconds()
    ended = sharers["kind"] != "binding" or sharers["binding"] != offer.binding or sharers["series"] != offer.series
    return ended or offer.accepting_until <= now or offer.sharing_until <= now


def _session_still_valid(generation: int) -> Condition:
    return equals("enabled", True) & equals("generation", generation)


_NOT_BANNED = (exists() & absent("banned_at") & absent("disabled")).raises(Reason.DEVICE_BANNED)


def _put_share(user: User, accepted: items.UserDevice) -> Put:
    share: items.Binding = {
        "holder": identity.user_holder(user.uid),
        "holder_sort": bindings.holder_sort("quectel", accepted["bound_at"]),
        "leases": {},
        "kind": "share",
        "share": accepted["share"],
        "by": accepted["by"],
        "binding": accepted["binding"],
        "device_key": accepted["device_key"],
        "expires_at": accepted["expires_at"],
    }
    return items.user_binding(accepted["device"], user.uid).put(share, when=binding.not_yet_bound(user.uid))


def _add_share(user: User, sharers: items.UserDevice, shares: dict[str, int]) -> Update:
    # A lease under an earlier share of the user must not become valid again.
    me = identity.user_holder(user.uid)

    def reason(now: items.Binding) -> Reason:
        # In rotating mode the user may have bound the device concurrently.
        return Reason.ALREADY_BOUND if now.get("holder") == me else _why_changed(now, sharers, user.uid)

    when = _shares_unchanged(sharers).raises(reason)
    return items.owner(sharers["device"]).update(set={"shares": shares}, remove=[("leases", user.pseudonym)], when=when)


def _offer_unchanged(uid: str, sharers: items.UserDevice, series: str) -> Condition:
    def reason(now: items.UserDevice) -> Reason:
        return Reason.SHARE_UNKNOWN if now.get("series") != series else _why_changed(now, sharers, uid)

    unchanged = _shares_unchanged(sharers) & equals("series", series)
    return unchanged.raises(reason)


def _shares_unchanged(sharers: items.UserDevice) -> Condition:
    return equals("binding", sharers["binding"]) & equals("shares", sharers["shares"])


def _why_changed(now: items.Binding | items.UserDevice, sharers: items.UserDevice, uid: str) -> Reason:
    if now.get("binding") != sharers["binding"]:
        return Reason.SHARE_UNKNOWN
    return Reason.SHARE_ACCEPTED if uid in holdings.lasting(now["shares"]) else Reason.CONFLICT
