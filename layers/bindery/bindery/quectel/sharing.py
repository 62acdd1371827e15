"""quectel: who has a device lets others use it, by a share code, until a time comes or the binding ends.

In an exclusive mode the `owner` item names who has a share, in multi mode an accepted share takes the place of a
binding of its user. Beside either it stands with both users' places for the device (`bindery.quectel.user_devices`).
"""

from enum import IntEnum
from typing import ClassVar

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Item, Key, Put, Read, Update
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import products, users
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import binding, share_codes, user_devices, user_domains
from bindery.quectel.share_codes import Offer
from bindery.quectel.user_devices import Device
from bindery.registry import bindings, devices, holdings, identity
from bindery.registry.bindings import Mode
from bindery.security.throttling import Limit

ACCEPTING_SECONDS = 24 * 3600
"""How long a share code can be accepted that does not say until when."""

ACCEPTING_LIMIT = 30 * 24 * 3600
"""How many seconds ahead the last moment lies at most at which a share code can be accepted."""

SHARING_LIMIT = 3653 * 24 * 3600
"""How many seconds ahead a share ends at most, and does if it is not said: ten years."""


class Cover(IntEnum):
    """What becomes of the codes that the sharer was given before, by the API's own numbers. Accepted shares stay."""

    REPLACE = 1
    """They end."""
    ADD = 2
    """They stay good."""
    EXTEND = 3
    """They end, if the new one's share lasts no shorter than that of the last."""


_COVERED = {
    Cover.REPLACE: "#binding = :binding",
    Cover.ADD: "#binding = :binding AND #series = :series",
    Cover.EXTEND: "#binding = :binding AND (attribute_not_exists(#offered_until) OR #offered_until <= :sharing)",
}
"""What must hold of the sharer's place for the device when it is offered."""


class _Guesses(binding.Guesses):
    """Share codes that nobody made, counted with the serial numbers."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (binding.Guesses.LIMITS[0]._replace(throttled=Reason.SHARE_THROTTLED),)


class _Looks(binding.Guesses):
    """The same, of codes that are only looked at."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (binding.Guesses.LIMITS[0]._replace(throttled=Reason.LOOK_THROTTLED),)


def offer(
    session: Session,
    product_key: str,
    device_key: str,
    *,
    accepting_until: int | None,
    sharing_until: int | None,
    cover: Cover,
) -> str:
    """A code by which others accept a share of a device that the session's user has bound. Times are milliseconds.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED`, `TIMESTAMP_INVALID` (a time that is past or too far ahead),
    `SHARING_TOO_SHORT` (it would end before it is accepted), `DEVICE_NOT_BOUND`, `SHARING_FORBIDDEN` (it is shared with
    the user), `DOMAIN_ABNORMAL` (the user domain is disabled), `SHARING_SHORTENED` (see `Cover`), and `CONFLICT` (the
    codes that are to stay good ended meanwhile: nothing has changed).
    """
    now = clock.seconds()
    accepting = now + ACCEPTING_SECONDS if accepting_until is None else accepting_until // 1000
    sharing = now + SHARING_LIMIT if sharing_until is None else sharing_until // 1000
    if unsuited := _unsuited(now, accepting, sharing):
        session.look_up(Reason.LOOKUP_FAILED)
        raise Refused(unsuited)
    _, place, (domain,) = user_devices.own(session, product_key, device_key, user_domains.read(session.domain))
    user_domains.admit(domain)
    if place["kind"] == "share":
        raise Refused(Reason.SHARING_FORBIDDEN)
    series = place["series"] if cover is Cover.ADD else bindings.new_id()

    def changed(found: Item) -> Reason:
        if found.get("binding") != place["binding"]:
            return Reason.DEVICE_NOT_BOUND
        # Of codes that are to stay good, none may come back that was ended meanwhile.
        return Reason.SHARING_SHORTENED if cover is Cover.EXTEND else Reason.CONFLICT

    dynamodb.write(
        Update(
            holdings.key(session.uid, product_key, device_key),
            "SET #series = :series, #offered_until = :sharing",
            {":series": series, ":sharing": sharing},
            Condition(expression=_COVERED[cover], values={":binding": place["binding"]}, otherwise=changed),
        )
    )
    key, name = place["product_key"], place["device_key"]
    offered = Offer(session.uid, session.generation, key, name, place["binding"], series, accepting, sharing)
    return share_codes.write(offered, session.account, session.domain)


def look(session: Session, code: str) -> Device:
    """The device of a share code, to look at before it is accepted: without the keys to bind or to reach it.

    Nor does it say whose it is: `uid` is the session's user, as it will be once the share is accepted.

    Who has it already sees what they have. Raises `TOKEN_INVALID`, `LOOKUP_FAILED`, `DOMAIN_ABNORMAL` (disabled),
    `LOOK_THROTTLED` (too many failed guesses) and `NOT_SHARED` (the code is invalid or expired, or not for users of
    this domain).
    """
    offer = _made(session, code, _Looks, Reason.NOT_SHARED)
    _, place, own, guesses, product = _read(session, offer, _Looks)
    # Concurrent guesses may have used up the limit since.
    dynamodb.transact([Check(guesses.key, guesses.within())])
    if own is not None and holdings.lasts(own) and own["binding"] == offer.binding:
        return user_devices.shown(session, own, product)
    if not products.serves(product, session.domain) or place is None or _over(offer, place):
        raise Refused(Reason.NOT_SHARED)
    return Device(
        product_key=place["product_key"],
        product_name=product["name"],
        device_key=place["device_key"],
        serial="",
        name=place["name"],
        auth_key="",
        mode=Mode(place["mode"]),
        shared=True,
        capabilities=place["capabilities"],
        fid=None,
        frid=None,
        uid=session.uid,
        bound_at=None,
        share_code=code,
    )


def accept(session: Session, code: str, name: str | None) -> None:
    """Accept the share that a code stands for, under a name of the user's own or the sharer's.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED`, `DOMAIN_ABNORMAL` (disabled), `SHARE_THROTTLED` (too many failed
    guesses), `ALREADY_BOUND`, `SHARE_ACCEPTED`, `SHARE_UNKNOWN` (the code is invalid or expired),
    `DOMAIN_NOT_AUTHORISED` (the product is not for the user's domain), `LIMIT_REACHED`
    (`user_devices.SHARE_LIMIT` last), `PRODUCT_FORBIDDEN`, `DEVICE_BANNED`, and `BINDING_FAILED` or `CONFLICT`
    (a concurrent write changed it; nothing was written).
    """
    offer = _made(session, code, _Guesses, Reason.SHARE_UNKNOWN)
    user, place, own, guesses, product = _read(session, offer, _Guesses)
    user_devices.refuse(own)
    if place is None or _over(offer, place):
        raise Refused(Reason.SHARE_UNKNOWN)
    if not products.serves(product, session.domain):
        raise Refused(Reason.DOMAIN_NOT_AUTHORISED)
    shares = holdings.lasting(place["shares"])
    if len(shares) >= user_devices.SHARE_LIMIT:
        raise Refused(Reason.LIMIT_REACHED)
    uid, device, share, now = session.uid, place["device"], bindings.new_id(), clock.now()
    kept = {fact: place[fact] for fact in ("device", "binding", "mode", "product_key", "serial", "device_key")}
    accepted = kept | {
        "kind": "share",
        "share": share,
        "by": offer.sharer,
        "generation": offer.generation,
        "name": name or place["name"],
        "capabilities": place["capabilities"],
        "fid": None,
        "frid": None,
        "common": False,
        "bound_at": now,
        "domain": session.domain,
        "series": offer.series,
        "accepting_until": offer.accepting_until,
        "expires_at": offer.sharing_until,
    }
    after = {":after": shares | {uid: offer.sharing_until}}
    dynamodb.transact(
        [
            Check(guesses.key, guesses.within()),
            Check(users.key(uid), _still(session.generation, otherwise=Reason.TOKEN_INVALID)),
            _relate(user, accepted, place, after),
            Update(
                holdings.key(offer.sharer, offer.product_key, offer.device_key),
                "SET #shares = :after",
                after,
                _as_read(uid, place, offer.series),
            ),
            # Never the user's own record: their own place for the device was refused before.
            Check(users.key(offer.sharer), _still(offer.generation, otherwise=Reason.SHARE_UNKNOWN)),
            Put(holdings.key(uid, offer.product_key, offer.device_key), accepted, user_devices.free(device)),
            # Last: which share it is was judged before on what was read, so it comes first among the reasons here too.
            Check(products.barred(offer.product_key, uid), binding.NOT_BARRED),
            Check(devices.key(device), _FIT),
        ]
    )


def _unsuited(now: int, accepting: int, sharing: int) -> Reason | None:
    """Why a share code cannot have these times, if so."""
    if not now < accepting <= now + ACCEPTING_LIMIT or sharing > now + SHARING_LIMIT:
        return Reason.TIMESTAMP_INVALID
    return Reason.SHARING_TOO_SHORT if sharing <= accepting else None


def _made(session: Session, code: str, guesses: type[binding.Guesses], unknown: Reason) -> Offer:
    """Return the offer of a code. Count an invalid code as a failed guess and refuse it as `unknown`."""
    offered = share_codes.read(code, session)
    if offered is None:
        _, admitted, _ = _admit(session, guesses)
        # As a transaction, because a code that is right takes one too.
        dynamodb.transact([admitted.count()])
        raise Refused(unknown)
    return offered


def _read(
    session: Session, offer: Offer, guesses: type[binding.Guesses]
) -> tuple[User, Item | None, Item | None, binding.Guesses, Item | None]:
    """The user, the sharer's place for the device of an offer, the user's own, who may try, and the product.

    There is no place of a sharer whose session that made the code has ended: who is disabled, or of another generation,
    as everyone is who was moved to another user domain. The account is the user's own, which is enabled.
    """
    places = [holdings.key(uid, offer.product_key, offer.device_key) for uid in (offer.sharer, session.uid)]
    keys = (users.key(offer.sharer), *places, products.key(offer.product_key))
    user, admitted, (sharer, place, own, product) = _admit(session, guesses, *keys)
    lasts = sharer is not None and sharer["enabled"] and sharer["generation"] == offer.generation
    return user, place if lasts else None, own, admitted, product


def _admit(
    session: Session, guesses: type[binding.Guesses], *keys: Key
) -> tuple[User, binding.Guesses, list[Item | None]]:
    """The user, who may try a code, and what was read of `keys` with them.

    Raises `TOKEN_INVALID`, `LOOKUP_FAILED`, `DOMAIN_ABNORMAL`, and what `guesses` throttles with.
    """
    key = binding.guesses_key(session.uid)
    reads = (Read(each, Reason.LOOKUP_FAILED) for each in (key, *keys))
    asked = [*session.reads(Reason.LOOKUP_FAILED), user_domains.read(session.domain), *reads]
    user, account, domain, record, *rest = dynamodb.get_many(asked)
    confirmed = session.confirm(user, account)
    user_domains.admit(domain)
    return confirmed, guesses.admit(key, record), rest


def _over(offer: Offer, place: Item) -> bool:
    """Whether an offer cannot be accepted any more, by its sharer's place for the device."""
    now = clock.seconds()
    ended = place["kind"] != "binding" or place["binding"] != offer.binding or place["series"] != offer.series
    return ended or offer.accepting_until <= now or offer.sharing_until <= now


def _still(generation: int, *, otherwise: Reason) -> Condition:
    """Condition: a user is enabled, and their sessions are of this generation."""
    return Condition(
        expression="#enabled = :true AND #generation = :generation",
        values={":true": True, ":generation": generation},
        otherwise=otherwise,
    )


_FIT = Condition(
    expression="attribute_exists(#pk) AND attribute_not_exists(#banned_at) AND attribute_not_exists(#disabled)",
    otherwise=Reason.DEVICE_BANNED,
)


def _relate(user: User, accepted: Item, place: Item, after: Item) -> Put | Update:
    """The write by which the user may connect to the device."""
    uid = user.uid
    if accepted["mode"] != Mode.MULTI:
        expression = "SET #shares = :after REMOVE #connected.#caller"
        as_read = _as_read(uid, place)._replace(names={"caller": user.pseudonym})
        return Update(bindings.owner(accepted["device"]), expression, after, as_read)
    share = {
        "holder": identity.user_holder(uid),
        "since": bindings.since("quectel", accepted["bound_at"]),
        "connected": {},
        **{fact: accepted[fact] for fact in ("kind", "share", "by", "binding", "device_key", "expires_at")},
    }
    return Put(bindings.of_user(accepted["device"], uid), share, binding.free(uid))


def _as_read(uid: str, place: Item, series: str | None = None) -> Condition:
    """That a binding is the one that was read, with the shares that it had, and at its holder's place with its codes.

    Without `series` it is a condition of the `owner` item.
    """

    def changed(now: Item) -> Reason:
        if now.get("holder") == identity.user_holder(uid):
            # In rotating mode the user may have bound the device meanwhile.
            return Reason.ALREADY_BOUND
        if now.get("binding") != place["binding"] or (series is not None and now["series"] != series):
            return Reason.SHARE_UNKNOWN
        return Reason.SHARE_ACCEPTED if uid in holdings.lasting(now["shares"]) else Reason.CONFLICT

    return Condition(
        expression="#binding = :binding AND #shares = :before" + ("" if series is None else " AND #series = :series"),
        values={":binding": place["binding"], ":before": place["shares"]}
        | ({} if series is None else {":series": series}),
        otherwise=changed,
    )
