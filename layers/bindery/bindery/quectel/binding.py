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
from bindery.quectel import claim_codes, families, user_devices, user_domains
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


class Request(NamedTuple):
    """A user's request for a device."""

    session: Session
    product_key: str
    device: str
    """Canonical identity."""
    code: str | None
    """Claim code."""
    capabilities: int | None
    name: str | None
    fid: str | None
    frid: str | None
    common: bool

    @property
    def uid(self) -> str:
        """The user."""
        return self.session.uid


class Found(NamedTuple):
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
    coded: bool
    """True if the request has, or may have, a claim code."""

    @property
    def mode(self) -> Mode:
        """The product's mode."""
        return Mode(self.product["mode"])

    @property
    def existing(self) -> items.Binding:
        """The item that the new binding would replace."""
        return self.own if self.mode is Mode.MULTI else self.owner

    @property
    def device_key(self) -> str:
        """The device's key."""
        return self.device["device_key"] or ""


PERMISSION_CHECKS: tuple[tuple[Reason, Callable[[Request, Found], bool]], ...] = (
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

DEVICE_CHECKS: tuple[tuple[Reason, Callable[[items.Device, items.Product], bool]], ...] = (
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

_FAMILY_CHECKS: tuple[tuple[Reason, Callable[[Request, Found], bool]], ...] = (
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
    *_reasons(*PERMISSION_CHECKS),
    Reason.SERIAL_THROTTLED,
    Reason.BINDINGS_THROTTLED,
    *_reasons(*DEVICE_CHECKS, *_BINDING_CHECKS, *_FAMILY_CHECKS),
    # A concurrent write changed something that a repetition of the request takes into account.
    Reason.BINDING_FAILED,
)
"""Reasons for which `bind` refuses a valid session, in the order of the checks."""

_COUNTED = frozenset({*_reasons(*DEVICE_CHECKS, *_FAMILY_CHECKS), Reason.BOUND_BY_ANOTHER})
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
    claim_code: str | None = None,
) -> Bound:
    """Bind a device to the session's user; in home mode, in family `fid` and room `frid`.

    If the product requires claim codes, `claim_code` must be the device's, or follow the serial number.

    Raises `TOKEN_INVALID` and the reasons in `REFUSES`.
    """
    device = identity.manufactured_device(product_key, serial)
    request = Request(session, product_key, device, claim_code, capabilities, name, fid, frid, common)
    request, found = _read(request, _labelled(request, serial))
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


def _labelled(request: Request, serial: str) -> Request | None:
    """Return the request for the device on whose label the serial number ends with its claim code."""
    found = claim_codes.split(serial) if request.code is None else None
    if found is None:
        return None
    return request._replace(device=identity.manufactured_device(request.product_key, found[0]), code=found[1])


def _read(request: Request, labelled: Request | None) -> tuple[Request, Found]:
    """Return what was read, and the request for the device that it is about."""
    session, uid = request.session, request.uid
    product, bar, guesses = items.product(request.product_key), items.bar(request.product_key, uid), items.guesses(uid)
    domain = user_domains.lookup(session.domain)
    family = None if request.fid is None else items.family(request.fid)
    reads = [
        *session.reads(Reason.LOOKUP_FAILED),
        Read(product, Reason.LOOKUP_FAILED),
        Read(bar, Reason.LOOKUP_FAILED),
        *_reads_of(request),
        *([] if labelled is None else _reads_of(labelled)),
        Read(guesses, Reason.LOOKUP_FAILED),
        domain,
    ]
    if family is not None:
        reads.append(Read(family, Reason.LOOKUP_FAILED))
    found = dynamodb.get_many(reads)
    user, of_domain, of_product = session.confirm(found), user_domains.check(found[domain.key]), found[product] or {}
    if labelled is not None and of_product.get("claim_codes"):
        request = labelled
    # Without its claim code, a device is unknown. The code is compared whether or not the device exists.
    claimed = claim_codes.accepts(of_product, request.device, request.code)
    return request, Found(
        user=user,
        domain=of_domain,
        product=of_product,
        bar=found[bar],
        device=(found[items.device(request.device)] or {}) if claimed else {},
        owner=found[items.owner(request.device)] or {},
        own=found[items.user_binding(request.device, uid)] or {},
        family=None if family is None else found[family],
        guesses_key=guesses,
        guesses=found[guesses],
        coded=labelled is not None or request.code is not None,
    )


def _reads_of(request: Request) -> list[Read]:
    """Return the reads of the device and of its bindings."""
    device = request.device
    return [
        Read(items.device(device), Reason.SERIAL_LOOKUP_FAILED),
        Read(items.owner(device), Reason.LOOKUP_FAILED),
        Read(items.user_binding(device, request.uid), Reason.LOOKUP_FAILED),
    ]


def _judge(request: Request, found: Found) -> Guesses:
    """Return the user's guesses, or raise the first of `REFUSES` that applies."""
    if reason := first(PERMISSION_CHECKS, request, found):
        raise Refused(reason)
    guesses = Guesses.accept(found.guesses_key, found.guesses)
    reason = (
        first(DEVICE_CHECKS, found.device, found.product)
        or first(_BINDING_CHECKS, found.existing, request.uid, found.mode)
        or first(_FAMILY_CHECKS, request, found)
    )
    if reason:
        raise _counted(guesses, Refused(reason))
    return guesses


def _writes(request: Request, found: Found, guesses: Guesses, binding: str, auth_key: str) -> list[Write | Check]:
    """Return writes whose conditions repeat the checks."""
    held = new_entry(request, found, binding)
    evicted: items.Binding = found.existing if found.mode is Mode.ROTATING else {}
    entry = items.user_device(request.uid, request.product_key, found.device_key)
    return [
        # First, so that throttling takes precedence over what the other conditions reveal of the device.
        guesses.count(Guesses.LIMITS[1]),
        items.user(request.uid).check(_user_still_valid(request, found)),
        items.bar(request.product_key, request.uid).check(NOT_BARRED),
        *_check_claim_codes(request, found),
        items.device(request.device).check(device_unchanged(found.device, found.product)),
        _put_binding(request, found.mode, held, evicted, secrets.fingerprint(auth_key)),
        entry.put(held, when=user_devices.entry_available(request.device)),
        *end_replaced(request.device, evicted),
        *change_families(request, found.mode, held, evicted),
    ]


def _check_claim_codes(request: Request, found: Found) -> Iterator[Check]:
    # A request without a code for a product without codes is the documented one: it needs no further write units.
    if found.coded or found.product.get("claim_codes"):
        yield items.product(request.product_key).check(claim_codes.setting_unchanged(found.product))


def not_yet_bound(uid: str) -> Condition:
    """Condition: a user has no binding or live share in multi mode."""
    expired = equals("kind", "share") & at_most("expires_at", clock.seconds())
    return (absent() | expired).raises(lambda now: _why_not_replaced(now, uid, Mode.MULTI))


_P = ParamSpec("_P")


def first(checks: Sequence[tuple[Reason, Callable[_P, bool]]], *args: _P.args, **kwargs: _P.kwargs) -> Reason | None:
    """Return the reason of the first check that applies."""
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


def _has_no_room_for(request: Request, found: Found) -> bool:
    if not request.common or found.family is None:
        return False
    return families.is_full(found.family, families.common_entry(request.device, request.uid, found.mode))


def _user_still_valid(request: Request, found: Found) -> Condition:
    return every(
        [
            equals("enabled", True),
            equals("generation", request.session.generation),
            equals("role", found.user.role),
            equals("home_mode", found.user.home_mode),
        ]
    ).raises(lambda now: _why_not_valid(now, request, found))


def _why_not_valid(now: items.User, request: Request, found: Found) -> Reason:
    if not now or not now["enabled"] or now["generation"] != request.session.generation:
        return Reason.TOKEN_INVALID
    user = found.user._replace(role=now["role"], home_mode=now["home_mode"])
    return first(PERMISSION_CHECKS, request, found._replace(user=user)) or Reason.BINDING_FAILED


def device_unchanged(device: items.Device, product: items.Product) -> Condition:
    """Condition: the device can be bound, and its manufacturing record is as it was read."""
    return every(
        [
            absent("banned_at"),
            absent("disabled"),
            equals("device_key", device["device_key"]),
            equals("module_type", device["module_type"]),
            equals("data_center", device["data_center"]),
        ]
    ).raises(lambda now: first(DEVICE_CHECKS, now, product) or Reason.BINDING_FAILED)


def new_entry(request: Request, found: Found, binding: str) -> items.UserDevice:
    """Return the user's entry for a new binding."""
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


def new_binding(request: Request, held: items.UserDevice, credential: str) -> items.Binding:
    """Return a new binding, without what depends on the mode."""
    return {
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


def _put_binding(request: Request, mode: Mode, held: items.UserDevice, evicted: items.Binding, credential: str) -> Put:
    facts = new_binding(request, held, credential)
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
    return first(_BINDING_CHECKS, now, uid, mode) or Reason.BINDING_FAILED


def end_replaced(
    device: str, evicted: items.Binding, raises: Reason = Reason.BINDING_FAILED, *, by: str = ""
) -> Iterator[Delete]:
    """End a binding that another replaces, if any. The entry of the new holder (`by`) is replaced too."""
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
        yield from user_devices.end_binding(uid, ended, raises, by=by)


def change_families(
    request: Request, mode: Mode, held: items.UserDevice, evicted: items.Binding
) -> Iterator[Update | Check]:
    """Check the new binding's family, and change the common lists."""
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
