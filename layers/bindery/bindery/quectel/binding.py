"""quectel: bind a device by its serial number (document 001, "Bind Device Using SN").

In multi mode, each user has a binding, whose place an accepted share takes until it ends.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple, ParamSpec

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Key, Put, Read, Update, Write
from bindery.aws.expressions import Condition, absent, at_most, equals, every
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import families, user_devices, user_domains
from bindery.registry import bindings, devices, identity, items
from bindery.registry.bindings import Mode
from bindery.security import secrets, throttling
from bindery.security.throttling import Limit

DEVICE_KEY = "[A-Za-z0-9]{4,32}"


class Guesses(throttling.GuessThrottle):
    """A user's failed guesses and new bindings today."""

    __slots__ = ()
    LIMITS: ClassVar[tuple[Limit, ...]] = (
        Limit("failures", "last_at", 20, Reason.SERIAL_THROTTLED),
        Limit("bound", "bound_at", 100, Reason.BINDINGS_THROTTLED),
    )


class Bound(NamedTuple):
    """A bound device's keys."""

    auth_key: str
    device_key: str
    module_type: str
    product_key: str


class _Request(NamedTuple):
    session: Session
    product_key: str
    device: str
    """Canonical identity."""
    capabilities: int | None
    name: str | None
    fid: str | None
    frid: str | None
    common: bool

    @property
    def uid(self) -> str:
        return self.session.uid


class _Found(NamedTuple):
    """Items that were read ({} or None: not found)."""

    user: User
    domain: items.UserDomain
    product: items.Product
    bar: items.Bar | None
    device: items.Device
    owner: items.Binding
    own: items.Binding
    family: items.Family | None
    guesses_key: Key[items.Attempts]
    guesses: items.Attempts | None

    @property
    def mode(self) -> Mode:
        return Mode(self.product["mode"])

    @property
    def existing(self) -> items.Binding:
        """The item that the new binding would replace."""
        return self.own if self.mode is Mode.MULTI else self.owner

    @property
    def device_key(self) -> str:
        return self.device["device_key"] or ""


_PERMISSION_CHECKS: tuple[tuple[Reason, Callable[[_Request, _Found], bool]], ...] = (
    (
        Reason.ROLE_NOT_PERMITTED,
        lambda _, found: bool(found.domain["binders"] == "administrators" and found.user.role == "regular"),
    ),
    (Reason.PRODUCT_UNKNOWN, lambda _, found: not products.is_open(found.product)),
    (Reason.DOMAIN_NOT_AUTHORISED, lambda _, found: not products.serves(found.product, found.user.domain)),
    (Reason.PRODUCT_FORBIDDEN, lambda _, found: found.bar is not None),
    (
        Reason.HOME_MODE_OFF,
        lambda request, found: not found.user.home_mode and (request.fid, request.frid) != (None, None),
    ),
    (Reason.FAMILY_MISSING, lambda request, found: found.user.home_mode and request.fid is None),
    (
        Reason.FAMILY_FORBIDDEN,
        lambda request, found: (
            found.user.home_mode and not families.has_member(found.family, request.uid, request.frid)
        ),
    ),
)

_DEVICE_CHECKS: tuple[tuple[Reason, Callable[[items.Device, items.Product], bool]], ...] = (
    (Reason.SERIAL_UNKNOWN, lambda device, _: not device),
    (Reason.DEVICE_KEY_MISSING, lambda device, _: not (device["device_key"] or "").strip()),
    (Reason.DEVICE_KEY_MALFORMED, lambda device, _: not re.fullmatch(DEVICE_KEY, device["device_key"] or "")),
    (Reason.DATA_CENTER_MISMATCH, lambda device, product: _is_elsewhere(device, product)),
    (Reason.DEVICE_BANNED, lambda device, _: devices.banned(device) or "disabled" in device),
)

_BINDING_CHECKS: tuple[tuple[Reason, Callable[[items.Binding, str, Mode], bool]], ...] = (
    (Reason.ALREADY_BOUND, lambda existing, uid, _: _is_binding_of(existing, uid)),
    (Reason.SHARE_ACCEPTED, lambda existing, uid, _: _share_ends_at(existing, uid) > clock.seconds()),
    (Reason.BOUND_BY_ANOTHER, lambda existing, _, mode: bool(existing) and mode is Mode.UNIQUE),
)

_FAMILY_CHECKS: tuple[tuple[Reason, Callable[[_Request, _Found], bool]], ...] = (
    (Reason.COMMON_LIST_FULL, lambda request, found: _has_no_room_for(request, found)),
)


def _reasons(*checks: tuple[Reason, Callable[..., bool]]) -> tuple[Reason, ...]:
    return tuple(reason for reason, _ in checks)


REFUSES = (
    # The device could not be read.
    Reason.SERIAL_LOOKUP_FAILED,
    # Another item could not be read.
    Reason.LOOKUP_FAILED,
    Reason.DOMAIN_ABNORMAL,
    *_reasons(*_PERMISSION_CHECKS),
    Reason.SERIAL_THROTTLED,
    Reason.BINDINGS_THROTTLED,
    *_reasons(*_DEVICE_CHECKS, *_BINDING_CHECKS, *_FAMILY_CHECKS),
    # A concurrent write changed something that a repetition of the request takes into account.
    Reason.BINDING_FAILED,
)
"""Reasons for which `bind` refuses a valid session, in the order of the checks."""

_COUNTED = frozenset({*_reasons(*_DEVICE_CHECKS, *_FAMILY_CHECKS), Reason.BOUND_BY_ANOTHER})
"""Refusals that reveal whether a device exists count as failed guesses."""

NOT_BARRED = absent().raises(Reason.PRODUCT_FORBIDDEN)


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
    """Bind a device to the session's user; in home mode, in family `fid` and room `frid`.

    Raises `TOKEN_INVALID` and the reasons in `REFUSES`.
    """
    device = identity.manufactured_device(product_key, serial)
    request = _Request(session, product_key, device, capabilities, name, fid, frid, common)
    found = _read(request)
    guesses = _judge(request, found)
    binding = bindings.new_id()
    # Derive the auth key before the write: once the device is bound, nothing may fail.
    bound = Bound(
        secrets.auth_key(binding),
        found.device_key,
        found.device["module_type"] or found.product["module_type"],
        found.product["product_key"],
    )
    try:
        dynamodb.transact(_writes(request, found, guesses, binding, bound.auth_key))
    except Refused as refused:
        raise _counted(guesses, refused) from None
    return bound


def _read(request: _Request) -> _Found:
    session, uid, device = request.session, request.uid, request.device
    product, bar = items.product(request.product_key), items.bar(request.product_key, uid)
    owner, own, guesses = items.owner(device), items.user_binding(device, uid), items.guesses(uid)
    domain = user_domains.lookup(session.domain)
    family = None if request.fid is None else items.family(request.fid)
    reads = [
        *session.reads(Reason.LOOKUP_FAILED),
        Read(product, Reason.LOOKUP_FAILED),
        Read(bar, Reason.LOOKUP_FAILED),
        Read(items.device(device), Reason.SERIAL_LOOKUP_FAILED),
        Read(owner, Reason.LOOKUP_FAILED),
        Read(own, Reason.LOOKUP_FAILED),
        Read(guesses, Reason.LOOKUP_FAILED),
        domain,
    ]
    if family is not None:
        reads.append(Read(family, Reason.LOOKUP_FAILED))
    found = dynamodb.get_many(reads)
    return _Found(
        user=session.confirm(found),
        domain=user_domains.check(found[domain.key]),
        product=found[product] or {},
        bar=found[bar],
        device=found[items.device(device)] or {},
        owner=found[owner] or {},
        own=found[own] or {},
        family=None if family is None else found[family],
        guesses_key=guesses,
        guesses=found[guesses],
    )


def _judge(request: _Request, found: _Found) -> Guesses:
    """Return the user's guesses, or raise the first of `REFUSES` that applies."""
    if reason := _first(_PERMISSION_CHECKS, request, found):
        raise Refused(reason)
    guesses = Guesses.accept(found.guesses_key, found.guesses)
    reason = (
        _first(_DEVICE_CHECKS, found.device, found.product)
        or _first(_BINDING_CHECKS, found.existing, request.uid, found.mode)
        or _first(_FAMILY_CHECKS, request, found)
    )
    if reason:
        raise _counted(guesses, Refused(reason))
    return guesses


def _writes(request: _Request, found: _Found, guesses: Guesses, binding: str, auth_key: str) -> list[Write | Check]:
    """Return writes whose conditions repeat the checks."""
    held = _entry(request, found, binding)
    evicted: items.Binding = found.existing if found.mode is Mode.ROTATING else {}
    entry = items.user_device(request.uid, request.product_key, found.device_key)
    return [
        # First, so that throttling takes precedence over what the other conditions reveal of the device.
        guesses.count(Guesses.LIMITS[1]),
        items.user(request.uid).check(_user_still_valid(request, found)),
        items.bar(request.product_key, request.uid).check(NOT_BARRED),
        items.device(request.device).check(_device_unchanged(found.device, found.product)),
        _put_binding(request, found.mode, held, evicted, secrets.fingerprint(auth_key)),
        entry.put(held, when=user_devices.entry_available(request.device)),
        *_end_evicted(request.device, evicted),
        *_change_families(request, found.mode, held, evicted),
    ]


def not_yet_bound(uid: str) -> Condition:
    """Condition: a user has no binding or live share in multi mode."""
    expired = equals("kind", "share") & at_most("expires_at", clock.seconds())
    return (absent() | expired).raises(lambda now: _why_not_replaced(now, uid, Mode.MULTI))


_P = ParamSpec("_P")


def _first(checks: Sequence[tuple[Reason, Callable[_P, bool]]], *args: _P.args, **kwargs: _P.kwargs) -> Reason | None:
    return next((reason for reason, applies in checks if applies(*args, **kwargs)), None)


def _counted(guesses: Guesses, refused: Refused) -> Refused:
    """Count a refusal that reveals whether the device exists. Raises `SERIAL_THROTTLED` and `BINDINGS_THROTTLED`."""
    if refused.reason in _COUNTED:
        # A transaction, as for a successful bind: a throttled guess makes the same calls, right or wrong.
        dynamodb.transact([guesses.count()])
    return refused


def _is_elsewhere(device: items.Device, product: items.Product) -> bool:
    here = env.read("DATA_CENTER")
    return (device["data_center"] or product["data_center"] or here) != here


def _is_binding_of(existing: items.Binding, uid: str) -> bool:
    return existing.get("kind") != "share" and existing.get("holder") == identity.user_holder(uid)


def _share_ends_at(existing: items.Binding, uid: str) -> int:
    return existing["expires_at"] if existing.get("kind") == "share" else existing.get("shares", {}).get(uid, 0)


def _has_no_room_for(request: _Request, found: _Found) -> bool:
    if not request.common or found.family is None:
        return False
    return families.is_full(found.family, families.common_entry(request.device, request.uid, found.mode))


def _user_still_valid(request: _Request, found: _Found) -> Condition:
    return every(
        [
            equals("enabled", True),
            equals("generation", request.session.generation),
            equals("role", found.user.role),
            equals("home_mode", found.user.home_mode),
        ]
    ).raises(lambda now: _why_not_valid(now, request, found))


def _why_not_valid(now: items.User, request: _Request, found: _Found) -> Reason:
    if not now or not now["enabled"] or now["generation"] != request.session.generation:
        return Reason.TOKEN_INVALID
    user = found.user._replace(role=now["role"], home_mode=now["home_mode"])
    return _first(_PERMISSION_CHECKS, request, found._replace(user=user)) or Reason.BINDING_FAILED


def _device_unchanged(device: items.Device, product: items.Product) -> Condition:
    return every(
        [
            absent("banned_at"),
            absent("disabled"),
            equals("device_key", device["device_key"]),
            equals("module_type", device["module_type"]),
            equals("data_center", device["data_center"]),
        ]
    ).raises(lambda now: _first(_DEVICE_CHECKS, now, product) or Reason.BINDING_FAILED)


def _entry(request: _Request, found: _Found, binding: str) -> items.UserDevice:
    return {
        "kind": "binding",
        "device": request.device,
        "binding": binding,
        "mode": found.mode,
        "product_key": found.product["product_key"],
        "serial": found.device["serial"],
        "device_key": found.device_key,
        "name": request.name or found.product["name"],
        "capabilities": request.capabilities,
        "fid": request.fid,
        "frid": request.frid,
        "common": request.common and found.family is not None,
        "bound_at": clock.now(),
        "series": bindings.new_id(),
        "shares": {},
    }


def _put_binding(request: _Request, mode: Mode, held: items.UserDevice, evicted: items.Binding, credential: str) -> Put:
    facts: items.Binding = {
        "holder": identity.user_holder(request.uid),
        "holder_sort": bindings.holder_sort("quectel", held["bound_at"]),
        "leases": {},
        "binding": held["binding"],
        "bound_at": held["bound_at"],
        "credential": credential,
        "device_key": held["device_key"],
        "fid": held["fid"],
        "common": held["common"],
    }
    uid = request.uid
    if mode is Mode.MULTI:
        return items.user_binding(request.device, uid).put(facts | {"kind": "binding"}, when=not_yet_bound(uid))
    replaceable = absent()
    if evicted:
        # The same transaction ends the evicted user's shares and entry in a common list, so they must not have changed.
        replaceable |= equals("binding", evicted["binding"]) & equals("shares", evicted["shares"])
    when = replaceable.raises(lambda now: _why_not_replaced(now, uid, mode))
    return items.owner(request.device).put(facts | {"shares": {}}, when=when)


def _why_not_replaced(now: items.Binding, uid: str, mode: Mode) -> Reason:
    return _first(_BINDING_CHECKS, now, uid, mode) or Reason.BINDING_FAILED


def _end_evicted(device: str, evicted: items.Binding) -> Iterator[Delete]:
    if evicted:
        _, uid = identity.holder_parts(evicted["holder"])
        ended: items.UserDevice = {
            "device": device,
            "mode": Mode.ROTATING,
            "product_key": identity.parts(device)["product_key"],
            "device_key": evicted["device_key"],
            "binding": evicted["binding"],
            "shares": evicted["shares"],
        }
        yield from user_devices.end_binding(uid, ended, Reason.BINDING_FAILED)


def _change_families(
    request: _Request, mode: Mode, held: items.UserDevice, evicted: items.Binding
) -> Iterator[Update | Check]:
    # One write for each family, because a transaction cannot write an item twice.
    fid, left = held["fid"], evicted["fid"] if evicted and evicted["common"] else None
    if fid is not None:
        entry = families.common_entry(request.device, request.uid, mode)
        is_member = families.user_is_member(request.uid, held["frid"], entry=entry if held["common"] else None)
        if held["common"]:
            yield families.add_common(fid, entry, is_member)
        elif fid == left:
            yield families.remove_common(fid, request.device, is_member)
        else:
            yield items.family(fid).check(is_member)
    if left is not None and left != fid:
        yield families.remove_common(left, request.device)
