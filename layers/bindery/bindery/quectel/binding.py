"""quectel: a user binds a manufactured device by its serial number (document 001, "Bind Device Using SN").

The product's mode says how many users hold one device. In the exclusive modes the binding is the device's `owner`
item; in multi mode each user has an item of their own, which a share that they accepted takes as long as it lasts.
Beside either the binding has its place among what its user holds (`bindery.quectel.user_devices`).
"""

import re
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Condition, Delete, Item, Key, Put, Read, Table, Update
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import products, users
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import families, user_devices, user_domains
from bindery.registry import bindings, devices, holdings, identity
from bindery.registry.bindings import Mode
from bindery.security import secrets, throttling
from bindery.security.throttling import Limit

REFUSES = (
    Reason.SERIAL_LOOKUP_FAILED,
    Reason.LOOKUP_FAILED,
    Reason.DOMAIN_ABNORMAL,
    Reason.ROLE_NOT_PERMITTED,
    Reason.PRODUCT_UNKNOWN,
    Reason.DOMAIN_NOT_AUTHORISED,
    Reason.PRODUCT_FORBIDDEN,
    Reason.HOME_MODE_OFF,
    Reason.FAMILY_MISSING,
    Reason.FAMILY_FORBIDDEN,
    Reason.SERIAL_THROTTLED,
    Reason.BINDINGS_THROTTLED,
    Reason.SERIAL_UNKNOWN,
    Reason.DEVICE_KEY_MISSING,
    Reason.DEVICE_KEY_MALFORMED,
    Reason.DATA_CENTER_MISMATCH,
    Reason.DEVICE_BANNED,
    Reason.ALREADY_BOUND,
    Reason.SHARE_ACCEPTED,
    Reason.BOUND_BY_ANOTHER,
    Reason.COMMON_LIST_FULL,
    Reason.BINDING_FAILED,
)
"""What `bind` refuses for beside the session, in the order in which it is judged."""

DEVICE_KEY = "[A-Za-z0-9]{4,32}"
"""What a device key looks like."""


_ABOUT_DEVICE = frozenset(
    {
        Reason.SERIAL_UNKNOWN,
        Reason.DEVICE_KEY_MISSING,
        Reason.DEVICE_KEY_MALFORMED,
        Reason.DATA_CENTER_MISMATCH,
        Reason.DEVICE_BANNED,
        Reason.BOUND_BY_ANOTHER,
        Reason.COMMON_LIST_FULL,
    }
)
"""Refusals that reveal whether a device exists, and so count as failed guesses."""


class Guesses(throttling.GuessThrottle):
    """A user's failed guesses of serial numbers and share codes, and new bindings, of today."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (
        Limit("failures", "last_at", 20, Reason.SERIAL_THROTTLED),
        Limit("bound", "bound_at", 100, Reason.BINDINGS_THROTTLED),
    )


class Bound(NamedTuple):
    """What a user is told of a device that they have bound."""

    auth_key: str
    device_key: str
    module_type: str
    product_key: str


def bind(
    session: Session,
    product_key: str,
    serial: str,
    *,
    capabilities: int | None,
    name: str | None,
    fid: str | None,
    frid: str | None,
    common: bool,
) -> Bound:
    """Bind a device to the session's user, in home mode into their family `fid` and its room `frid`.

    One batch read that every rule is judged on, in the order of `REFUSES`, and one transaction that holds what may have
    changed meanwhile (the guesses, the user, the device, who has it, the family) and refuses for the same reasons. A
    refusal that such a change causes and that reveals whether the device exists is counted by a third call. Raises
    `TOKEN_INVALID` and the reasons in `REFUSES`: `SERIAL_LOOKUP_FAILED` when the device could not be read,
    `LOOKUP_FAILED` when anything else could not, `BINDING_FAILED` when another write came between that a repetition has
    to take into account.
    """
    uid, device = session.uid, identity.manufactured_device(product_key, serial)
    user_read, account_read = session.reads(Reason.LOOKUP_FAILED)
    reads = {
        "user": user_read,
        "account": account_read,
        "product": Read(products.key(product_key), Reason.LOOKUP_FAILED),
        "barred": Read(products.barred(product_key, uid), Reason.LOOKUP_FAILED),
        "device": Read(devices.key(device), Reason.SERIAL_LOOKUP_FAILED),
        "owner": Read(bindings.owner(device), Reason.LOOKUP_FAILED),
        "own": Read(bindings.of_user(device, uid), Reason.LOOKUP_FAILED),
        "guesses": Read(guesses_key(uid), Reason.LOOKUP_FAILED),
        "domain": user_domains.read(session.domain),
    }
    if fid is not None:
        reads["family"] = Read(families.key(fid), Reason.LOOKUP_FAILED)
    found = dict(zip(reads, dynamodb.get_many(list(reads.values())), strict=True))
    product, family = found["product"], found.get("family")

    user = session.confirm(found["user"], found["account"])
    domain = user_domains.admit(found["domain"])
    if _may_not_bind(user.role, domain):
        raise Refused(Reason.ROLE_NOT_PERMITTED)
    if product is None:
        raise Refused(Reason.PRODUCT_UNKNOWN)
    if not products.serves(product, user.domain):
        raise Refused(Reason.DOMAIN_NOT_AUTHORISED)
    if found["barred"] is not None:
        raise Refused(Reason.PRODUCT_FORBIDDEN)
    if unsuited := _unsuited(user.home_mode, fid, frid):
        raise Refused(unsuited)
    if user.home_mode and not families.admits(family, uid, frid):
        raise Refused(Reason.FAMILY_FORBIDDEN)
    guesses = Guesses.admit(reads["guesses"].key, found["guesses"])
    manufactured = found["device"] or {}
    mode = Mode(product["mode"])
    standing = found["own" if mode is Mode.MULTI else "owner"] or {}
    refusal = _unfit(manufactured, product) or _taken(standing, uid, mode)
    if refusal is None and common and family is not None and families.full(family, families.entry(device, uid, mode)):
        refusal = Reason.COMMON_LIST_FULL
    if refusal is not None:
        raise _counted(guesses, Refused(refusal))

    binding, now = bindings.new_id(), clock.now()
    # Derived before the write: once the device is bound, nothing may fail that would say it is not.
    bound = Bound(
        secrets.auth_key(binding),
        manufactured["device_key"],
        manufactured["module_type"] or product["module_type"],
        product["product_key"],
    )
    device_key, evicted = manufactured["device_key"], standing if mode is Mode.ROTATING else {}
    place = {
        "kind": "binding",
        "device": device,
        "binding": binding,
        "mode": mode,
        "product_key": product["product_key"],
        "serial": manufactured["serial"],
        "device_key": device_key,
        "name": name or product["name"],
        "capabilities": capabilities,
        "fid": fid,
        "frid": frid,
        "common": common and family is not None,
        "bound_at": now,
        "series": bindings.new_id(),
        "shares": {},
    }
    facts = {
        "holder": identity.user_holder(uid),
        "since": bindings.since("quectel", now),
        "connected": {},
        **{fact: place[fact] for fact in ("binding", "bound_at", "device_key", "fid", "common")},
    }
    writes = [
        # The first, so that its refusal goes before what the others reveal of the device.
        guesses.count(Guesses.LIMITS[1]),
        Check(users.key(uid), _still(session, user, domain, fid, frid)),
        Check(products.barred(product_key, uid), NOT_BARRED),
        Check(devices.key(device), _as_read(manufactured, product)),
        _hold(device, uid, mode, facts, evicted),
        Put(holdings.key(uid, product_key, device_key), place, user_devices.free(device)),
        *_evict(device, evicted),
        *_in_families(device, uid, mode, place, evicted),
    ]
    try:
        dynamodb.transact(writes)
    except Refused as refused:
        raise _counted(guesses, refused) from None
    return bound


def guesses_key(uid: str) -> Key:
    """Key of a user's guesses of today. It does not reveal the user; time to live removes it, an erasure does not."""
    hashed = secrets.derive("BINDING_KEY_SECRET", "guesses", uid).hex()
    return Key(Table.BINDINGS, f"attempts#{hashed}", f"guesses#{clock.today().isoformat()}")


def _counted(guesses: Guesses, refused: Refused) -> Refused:
    """Count a refusal that reveals whether a device exists, before it is revealed.

    Raises `SERIAL_THROTTLED` or `BINDINGS_THROTTLED` if concurrent guesses came first. It is a transaction, as a
    successful bind is, so that a throttled guess takes the same calls whether it was right or wrong.
    """
    if refused.reason in _ABOUT_DEVICE:
        dynamodb.transact([guesses.count()])
    return refused


def _may_not_bind(role: str, domain: Item) -> bool:
    return bool(domain["binders"] == "administrators" and role == "regular")


def _unsuited(home_mode: bool, fid: str | None, frid: str | None) -> Reason | None:
    """Why a family and a room do not suit a user's home mode."""
    if not home_mode and (fid is not None or frid is not None):
        return Reason.HOME_MODE_OFF
    return Reason.FAMILY_MISSING if home_mode and fid is None else None


def _still(session: Session, user: User, domain: Item, fid: str | None, frid: str | None) -> Condition:
    """That a user is still who they were when their record was read, and what it means if not."""

    def verdict(now: Item) -> Reason:
        if not now or not now["enabled"] or now["generation"] != session.generation:
            return Reason.TOKEN_INVALID
        if _may_not_bind(now["role"], domain):
            return Reason.ROLE_NOT_PERMITTED
        return _unsuited(now["home_mode"], fid, frid) or Reason.BINDING_FAILED

    return Condition(
        expression="#enabled = :true AND #generation = :generation AND #role = :role AND #home_mode = :home_mode",
        values={
            ":true": True,
            ":generation": session.generation,
            ":role": user.role,
            ":home_mode": user.home_mode,
        },
        otherwise=verdict,
    )


NOT_BARRED = Condition(expression="attribute_not_exists(#pk)", otherwise=Reason.PRODUCT_FORBIDDEN)
"""That there is no bar of a user from a product."""


def _unfit(device: Item, product: Item) -> Reason | None:
    """Why a device as its record says ({} for none) cannot be bound by anyone here."""
    here = env.read("DATA_CENTER")
    if not device:
        return Reason.SERIAL_UNKNOWN
    if not (device["device_key"] or "").strip():
        return Reason.DEVICE_KEY_MISSING
    if not re.fullmatch(DEVICE_KEY, device["device_key"]):
        return Reason.DEVICE_KEY_MALFORMED
    if (device["data_center"] or product["data_center"] or here) != here:
        return Reason.DATA_CENTER_MISMATCH
    if devices.banned(device) or "disabled" in device:
        return Reason.DEVICE_BANNED
    return None


def _taken(standing: Item, uid: str, mode: Mode) -> Reason | None:
    """Why a user cannot bind a device beside, or in place of, what stands there ({} for nothing)."""
    if not standing:
        return None
    share = standing.get("kind") == "share"
    if standing["holder"] == identity.user_holder(uid) and not share:
        return Reason.ALREADY_BOUND
    if (standing["expires_at"] if share else standing.get("shares", {}).get(uid, 0)) > clock.seconds():
        return Reason.SHARE_ACCEPTED
    return Reason.BOUND_BY_ANOTHER if mode is Mode.UNIQUE else None


def _as_read(device: Item, product: Item) -> Condition:
    """That a device is still the one it was when its record was read, and still fit."""
    facts = ("device_key", "module_type", "data_center")
    return Condition(
        expression="attribute_not_exists(#banned_at) AND attribute_not_exists(#disabled) AND "
        + " AND ".join(f"#{fact} = :{fact}" for fact in facts),
        values={f":{fact}": device[fact] for fact in facts},
        otherwise=lambda now: _unfit(now, product) or Reason.BINDING_FAILED,
    )


def _hold(device: str, uid: str, mode: Mode, facts: Item, evicted: Item) -> Put:
    """The binding, under the condition of the product's mode. `evicted` is the binding that it takes the place of."""
    if mode is Mode.MULTI:
        return Put(bindings.of_user(device, uid), facts | {"kind": "binding"}, free(uid))
    # Whoever is evicted loses their shares and leaves their family's common list in the same write, so the binding must
    # be the one that was read, with the shares that it had.
    condition = Condition(
        expression="attribute_not_exists(#pk)" + (" OR (#binding = :read AND #shares = :shares)" if evicted else ""),
        values={":read": evicted["binding"], ":shares": evicted["shares"]} if evicted else {},
        otherwise=lambda now: _taken(now, uid, mode) or Reason.BINDING_FAILED,
    )
    return Put(bindings.owner(device), facts | {"shares": {}}, condition)


def free(uid: str) -> Condition:
    """That a user has neither a binding nor a lasting share of a device in multi mode."""
    return Condition(
        expression="attribute_not_exists(#pk) OR (#kind = :share AND #expires_at <= :now)",
        values={":share": "share", ":now": clock.seconds()},
        otherwise=lambda now: _taken(now, uid, Mode.MULTI) or Reason.BINDING_FAILED,
    )


def _evict(device: str, evicted: Item) -> Iterator[Delete]:
    """What a bind ends of the binding ({} for none) that it takes the place of."""
    if evicted:
        _, uid = identity.holder_parts(evicted["holder"])
        product_key = identity.parts(device)["product_key"]
        ended = evicted | {"device": device, "product_key": product_key, "mode": Mode.ROTATING}
        yield from user_devices.ending(uid, ended, Reason.BINDING_FAILED)


def _in_families(device: str, uid: str, mode: Mode, facts: Item, evicted: Item) -> Iterator[Update | Check]:
    """What a bind does in the families of who binds and of who is evicted ({} for nobody), each written once."""
    fid, left = facts["fid"], evicted["fid"] if evicted and evicted["common"] else None
    if fid is not None:
        entry = families.entry(device, uid, mode)
        holds = families.holds(uid, facts["frid"], common=entry if facts["common"] else None)
        if facts["common"]:
            yield families.add_common(fid, entry, holds)
        elif fid == left:
            yield families.drop_common(fid, device, holds)
        else:
            yield Check(families.key(fid), holds)
    if left is not None and left != fid:
        yield families.drop_common(left, device)
