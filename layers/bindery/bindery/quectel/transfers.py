"""quectel: a holder offers a device to another user, who becomes its holder by accepting (exclusive modes).

None of the APIs has such requests, so operators make them for the users.
"""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Delete, Key, Read, Write
from bindery.aws.expressions import Condition, absent, equals, every
from bindery.connectivity import device_connections, device_credentials, presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import users
from bindery.directory.sessions import Session
from bindery.quectel import binding, user_devices
from bindery.quectel.binding import Found, Request
from bindery.registry import acts, bindings, identity, items, ownership
from bindery.registry.bindings import Mode
from bindery.registry.ownership import Act
from bindery.security import secrets

DAYS = 7
"""Default time to accept an offer."""

DAYS_LIMIT = 30

_MULTI = "Any number of users can bind this device, so it is not offered. The other user binds it."

_TAKEN = "The user has another device of this product with the same device key."

_TEXTS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.ROLE_NOT_PERMITTED: "Only administrators of the user's domain can hold devices.",
        Reason.PRODUCT_UNKNOWN: "The device's product does not exist.",
        Reason.DOMAIN_NOT_AUTHORISED: "The device's product is not for the user's domain.",
        Reason.PRODUCT_FORBIDDEN: "The user is barred from the device's product.",
        Reason.HOME_MODE_OFF: "The user is not in home mode: leave out the family and the room.",
        Reason.FAMILY_MISSING: "The user is in home mode: specify one of the user's families (fid).",
        Reason.FAMILY_FORBIDDEN: "The user does not belong to this family, or it does not have this room.",
        Reason.DEVICE_KEY_MISSING: "The device has no device key: import it again with one.",
        Reason.DEVICE_KEY_MALFORMED: "The device key is not 4 to 32 letters and digits: import the device again.",
        Reason.DATA_CENTER_MISMATCH: "The device belongs to another data center.",
        Reason.DEVICE_BANNED: "The device is disabled: bindery devices enable",
    }
)
"""Refusals of a bind request, as operators see them."""


class _Transfer(NamedTuple):
    request: Request
    found: Found


def offer(device: str, uid: str, days: int = DAYS) -> None:
    """Offer a device to a user for some days. An offer that was made before is unchanged.

    Raises `NOT_FOUND`, `INVALID`, `STATUS_NOT_VALID`, `DEVICE_BANNED`, `ALREADY_BOUND` and `CONFLICT`.
    """
    record, owner = _device(device)
    _check_exclusive(device)
    opened = ownership.offer_of(owner)
    if opened is None or opened["to"] != uid:
        _check_state(record, owner, Act.OFFER)
    else:
        # As if the offer were not there.
        _check_state(record, {**owner, "offer": opened | {"until": 0}}, Act.OFFER)
        return
    if owner["holder"] == identity.user_holder(uid):
        raise Refused(Reason.ALREADY_BOUND, detail="The user has the device already.")
    made = _read(device, record, owner, uid)
    # A family is chosen when the offer is accepted.
    _check_receiver(made, later=[Reason.FAMILY_MISSING])
    offered: items.Offer = {
        "id": bindings.new_id(),
        "to": uid,
        "until": clock.seconds() + days * 86400,
        "by": dynamodb.actor(),
    }
    note: items.OfferNote = {"device": device, "offer": offered["id"]}
    dynamodb.transact(
        [
            *_receiver_unchanged(made),
            items.owner(device).update(set={"offer": offered}, when=_same_offer(owner)),
            *([_delete_note(device, owner["offer"])] if "offer" in owner and owner["offer"]["to"] != uid else []),
            items.offer_note(uid, device).put(note),
            *acts.offered(device, offered["id"]),
        ]
    )


def accept(device: str, uid: str, *, fid: str | None = None, frid: str | None = None) -> None:
    """Make the user to whom a device is offered its holder, in place of the present one.

    Raises `NOT_FOUND`, `STATUS_NOT_VALID`, `DEVICE_BANNED` and `CONFLICT`.
    """
    record, owner = _device(device)
    accepted = _offer_to(record, owner, uid, Act.ACCEPT)
    made = _read(device, record, owner, uid, fid, frid)
    _check_receiver(made)
    new = bindings.new_id()
    # Derive the auth key before the write: once the device is bound, nothing may fail.
    credential = secrets.fingerprint(secrets.auth_key(new))
    ending = presence.forgetting(device)
    key = dynamodb.get(items.device_key(device))
    revoked = device_credentials.revocation(device, key, acts.of(device, did="key_revoked"))
    dynamodb.transact([*_transfer(made, accepted, new, credential), *ending.writes, *revoked])
    device_connections.release(ending.last)


def decline(device: str, uid: str) -> None:
    """End an offer for the user to whom it was made. Raises as `withdraw`."""
    record, owner = _device(device)
    _end_offer(device, owner, _offer_to(record, owner, uid, Act.DECLINE), "declined")


def withdraw(device: str) -> None:
    """End an offer for the holder. Raises `NOT_FOUND`, `STATUS_NOT_VALID`, `DEVICE_BANNED` and `CONFLICT`."""
    record, owner = _device(device)
    _check_state(record, owner, Act.WITHDRAW)
    _end_offer(device, owner, owner["offer"], "withdrawn")


def erase_offer(uid: str, note: items.OfferNote) -> None:
    """Delete an offer to a user who is erased, and its note."""
    device = note["device"]
    same = equals(("offer", "id"), note["offer"]).raises(Reason.NOT_FOUND)
    deletion = items.offer_note(uid, device).delete()
    removal = items.owner(device).update(remove=["offer"], when=same)
    try:
        dynamodb.transact([removal, deletion, *acts.offer_ended(device, note["offer"], "erased")])
    except Refused as refused:
        # The offer has ended with its binding.
        if refused.reason is not Reason.NOT_FOUND:
            raise
        dynamodb.write(deletion)


def service_names(uid: str, device: items.Device) -> Iterator[Delete]:
    """Delete a user's names for a device's services."""
    for address in device.get("services", {}):
        yield items.service_name(uid, address).delete()


def _device(device: str) -> tuple[items.Device, items.Binding]:
    record, owner = items.device(device), items.owner(device)
    found = dynamodb.get_many([Read(record), Read(owner)])
    known = found[record]
    if known is None:
        raise Refused(Reason.NOT_FOUND, detail="The device does not exist.")
    return known, found[owner] or {}


def _check_exclusive(device: str) -> None:
    parts = identity.parts(device)
    if parts["dialect"] != "quectel":
        raise Refused(Reason.INVALID, detail=f"Only quectel devices can be offered, not those of {parts['dialect']}.")
    if (dynamodb.get(items.product(parts["product_key"])) or {}).get("mode") == Mode.MULTI:
        raise Refused(Reason.INVALID, detail=_MULTI)


def _check_state(record: items.Device, owner: items.Binding, act: Act) -> None:
    state = ownership.state_of(record, held=bool(owner), offer=ownership.offer_of(owner))
    ownership.check(state, act)


def _offer_to(record: items.Device, owner: items.Binding, uid: str, act: Act) -> items.Offer:
    """Return the offer to a user."""
    _check_state(record, owner, act)
    if owner["offer"]["to"] != uid:
        raise Refused(Reason.NOT_FOUND, detail=f"The device is not offered to {uid}.")
    return owner["offer"]


def _read(
    device: str,
    record: items.Device,
    owner: items.Binding,
    uid: str,
    fid: str | None = None,
    frid: str | None = None,
) -> _Transfer:
    receiver = dynamodb.get(items.user(uid))
    if receiver is None or not receiver["enabled"]:
        raise Refused(Reason.NOT_FOUND, detail=f"No enabled user has the uid {uid}.")
    product_key = identity.parts(device)["product_key"]
    product, bar, account = items.product(product_key), items.bar(product_key, uid), items.account(receiver["account"])
    domain, entry = items.user_domain(receiver["domain"] or ""), user_devices.key_of(owner)
    keys: list[Key[Any]] = [product, bar, account, domain, entry]
    if fid is not None:
        keys.append(items.family(fid))
    found = dynamodb.get_many([Read(key) for key in keys])
    of_account, of_domain, held = found[account], found[domain], found[entry] or {}
    if of_account is None or not of_account["enabled"]:
        raise Refused(Reason.STATUS_NOT_VALID, detail="The user's account is disabled.")
    if of_domain is None or not of_domain["enabled"]:
        raise Refused(Reason.STATUS_NOT_VALID, detail="The user has no user domain, or it is disabled.")
    session = Session(uid, receiver["account"], receiver["domain"], receiver["generation"])
    # Capabilities are the device's; the name and the family were the last holder's. An offer replaces a claim code.
    request = Request(session, product_key, device, None, held.get("capabilities"), None, fid, frid, common=False)
    return _Transfer(
        request,
        Found(
            user=users.from_items(receiver, of_account),
            domain=of_domain,
            product=found[product] or {},
            bar=found[bar],
            device=record,
            owner=owner,
            own={},
            family=None if fid is None else found[items.family(fid)],
            guesses_key=items.guesses(uid),
            guesses=None,
            coded=False,
        ),
    )


def _check_receiver(made: _Transfer, later: Collection[Reason] = ()) -> None:
    """Check what a bind request checks, except reasons that are checked `later`."""
    request, found = made.request, made.found
    reason = binding.first(binding.PERMISSION_CHECKS, request, found)
    if reason is None or reason in later:
        reason = binding.first(binding.DEVICE_CHECKS, found.device, found.product)
    if reason is not None:
        raise Refused(Reason.STATUS_NOT_VALID, detail=_TEXTS[reason])


def _receiver_unchanged(made: _Transfer) -> Iterator[Check]:
    """Yield the checks of the user and the device, which raise `CONFLICT` if either has changed."""
    request, found = made.request, made.found
    uid, user = request.uid, found.user
    same = every(
        [
            equals("enabled", True),
            equals("generation", user.generation),
            equals("role", user.role),
            equals("home_mode", user.home_mode),
        ]
    )
    yield items.user(uid).check(same.raises(Reason.CONFLICT))
    yield items.bar(request.product_key, uid).check(absent().raises(Reason.CONFLICT))
    yield items.device(request.device).check(
        binding.device_unchanged(found.device, found.product).raises(Reason.CONFLICT)
    )


def _same_offer(owner: items.Binding) -> Condition:
    """Condition: the binding is the same, and so is its offer."""
    offered = equals(("offer", "id"), owner["offer"]["id"]) if "offer" in owner else absent("offer")
    return (equals("binding", owner["binding"]) & offered).raises(Reason.CONFLICT)


def _transfer(made: _Transfer, accepted: items.Offer, new: str, credential: str) -> Iterator[Write | Check]:
    """Yield the writes that replace the binding. They raise `CONFLICT` if something has changed."""
    request, found, owner = made.request, made.found, made.found.owner
    device, uid = request.device, request.uid
    held = binding.new_entry(request, found, new)
    facts: items.Binding = {**binding.new_binding(request, held, credential), "shares": {}, "accepted": accepted["id"]}
    unchanged = _same_offer(owner) & equals("shares", owner["shares"])
    _, last = identity.holder_parts(owner["holder"])
    yield from _receiver_unchanged(made)
    yield items.owner(device).put(facts, when=unchanged.raises(Reason.CONFLICT))
    entry = items.user_device(uid, request.product_key, found.device_key)
    available = user_devices.entry_available(device).raises(Reason.STATUS_NOT_VALID, detail=_TAKEN)
    yield entry.put(held, when=available)
    yield from binding.end_replaced(device, owner, Reason.CONFLICT, by=uid)
    for change in binding.change_families(request, found.mode, held, owner):
        yield change if change.when is None else change._replace(when=change.when.raises(Reason.CONFLICT))
    yield _delete_note(device, accepted)
    yield from service_names(last, found.device)
    yield from acts.ending(device, owner["binding"], None, "transferred")


def _end_offer(device: str, owner: items.Binding, offered: items.Offer, cause: items.Cause) -> None:
    dynamodb.transact(
        [
            items.owner(device).update(remove=["offer"], when=_same_offer(owner)),
            _delete_note(device, offered),
            *acts.offer_ended(device, offered["id"], cause),
        ]
    )


def _delete_note(device: str, offered: items.Offer) -> Delete:
    return items.offer_note(offered["to"], device).delete()
