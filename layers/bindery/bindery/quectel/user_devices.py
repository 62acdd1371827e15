"""quectel: a user's devices, by product key and device key.

Bindings have the serial number in their keys, so each binding and share also has an entry. Functions with a session
also raise `TOKEN_INVALID` and `LOOKUP_FAILED`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Delete, Key, Read, Update
from bindery.aws.expressions import Condition, Verdict, absent, at_most, equals
from bindery.connectivity import device_connections, presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import products
from bindery.directory.sessions import Session
from bindery.directory.users import User
from bindery.quectel import families, share_codes
from bindery.quectel.share_codes import Offer
from bindery.registry import holdings, identity, items
from bindery.registry.bindings import Mode
from bindery.security import secrets

SHARE_LIMIT = 30
"""Live shares of a binding, which must end in one transaction."""

PAGE_LIMIT = 49
"""Devices on a page: with their products, their presences, user and account, one batch."""


class Device(NamedTuple):
    """A device as its user sees it."""

    product_key: str
    product_name: str
    device_key: str
    serial: str
    name: str
    auth_key: str
    mode: Mode
    shared: bool
    capabilities: int
    fid: str | None
    frid: str | None
    uid: str
    bound_at: int | None
    """In milliseconds."""
    share_code: str | None
    online: bool


class NumberedPage(NamedTuple):
    """A page, and the number of all devices."""

    devices: list[Device]
    total: int


def key_of(binding: items.Binding) -> Key[items.UserDevice]:
    """Key of the entry for a binding or share."""
    _, uid = identity.holder_parts(binding["holder"])
    return items.user_device(uid, identity.parts(binding["pk"])["product_key"], binding["device_key"])


def entry_available(device: str) -> Condition:
    """Condition: an entry is absent, for this device, or an expired share."""
    expired = equals("kind", "share") & at_most("expires_at", clock.seconds())
    return (absent() | equals("device", device) | expired).raises(Reason.BINDING_FAILED)


def find(session: Session, product_key: str | None, device_key: str | None) -> Device:
    """Return a user's device. Raises `IDENTIFIER_MISSING` and `DEVICE_NOT_BOUND`."""
    if product_key is None or device_key is None:
        session.look_up(Reason.LOOKUP_FAILED)
        raise Refused(Reason.IDENTIFIER_MISSING)
    product = items.product(product_key)
    _, held, found = get_own(session, product_key, device_key, Read(product, Reason.LOOKUP_FAILED))
    return describe(session, held, found[product], is_online(held))


def is_online(held: items.UserDevice) -> bool:
    """Return True if the device of an entry is connected. Raises `LOOKUP_FAILED`."""
    last = dynamodb.get(items.presence(held["device"]), unavailable=Reason.LOOKUP_FAILED)
    return presence.is_online(presence.under(last, _binding(held)))


def connections(held: Sequence[items.UserDevice]) -> dict[str, str | None]:
    """Return the open connection of each device, if any. Raises `LOOKUP_FAILED`."""
    if not held:
        return {}
    keys = {each["device"]: items.presence(each["device"]) for each in held}
    found = dynamodb.get_many([Read(key, Reason.LOOKUP_FAILED) for key in keys.values()])
    last = {each["device"]: presence.under(found[keys[each["device"]]], _binding(each)) for each in held}
    return {
        device: known["connection"] if known is not None and presence.is_online(known) else None
        for device, known in last.items()
    }


def _binding(held: items.UserDevice) -> str | None:
    """Return the binding under which the device connects; in multi mode, None for any."""
    return None if held["mode"] == Mode.MULTI else held["binding"]


def list_devices(
    session: Session,
    number: int,
    size: int,
    *,
    name: str | None = None,
    product_keys: Sequence[str] | None = None,
    device_key: str | None = None,
) -> NumberedPage:
    """Return page `number` (from 1) of the user's devices, oldest first, filtered by part of a `name`."""
    # One round trip: a megabyte, some 1,500 devices.
    matching = [
        held
        for held in holdings.of_user(session.uid, round_trips=1, unavailable=Reason.LOOKUP_FAILED)
        if holdings.lasts(held)
        and (name is None or identity.folded(name) in identity.folded(held["name"]))
        and (product_keys is None or held["product_key"] in product_keys)
        and (device_key is None or held["device_key"] == device_key)
    ]
    matching.sort(key=lambda held: (held["bound_at"], held["sk"]))
    part = matching[(number - 1) * size : number * size]
    keys: list[Key[Any]] = [items.product(held["product_key"]) for held in part]
    keys += [items.presence(held["device"]) for held in part]
    reads = [Read(key, Reason.LOOKUP_FAILED) for key in keys]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(found)
    devices = [
        describe(
            session,
            held,
            found[items.product(held["product_key"])],
            presence.is_online(presence.under(found[items.presence(held["device"])], _binding(held))),
        )
        for held in part
    ]
    return NumberedPage(devices, len(matching))


def bindable_product(session: Session, product_key: str, device_key: str | None) -> items.Product:
    """Return the product of a device to bind. Raises `PRODUCT_UNKNOWN`, `ALREADY_BOUND` and `SHARE_ACCEPTED`."""
    wanted = items.product(product_key)
    entry = None if device_key is None else items.user_device(session.uid, product_key, device_key)
    reads = [Read(key, Reason.LOOKUP_FAILED) for key in (wanted, entry) if key is not None]
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), *reads])
    session.confirm(found)
    product = found[wanted]
    if not products.serves(product, session.domain):
        # Also if it is for other domains, so that its name is not shown.
        raise Refused(Reason.PRODUCT_UNKNOWN)
    check_not_held(None if entry is None else found[entry])
    return product


def check_not_held(held: items.UserDevice | None) -> None:
    """Raise `ALREADY_BOUND` or `SHARE_ACCEPTED` for an entry in effect."""
    if held is not None and holdings.lasts(held):
        raise Refused(Reason.SHARE_ACCEPTED if held["kind"] == "share" else Reason.ALREADY_BOUND)


def rename(session: Session, product_key: str, device_key: str, name: str) -> None:
    """Rename a device for this user. Raises `DEVICE_NOT_BOUND`."""
    _, held, _ = get_own(session, product_key, device_key)
    entry = items.user_device(session.uid, product_key, device_key)
    dynamodb.write(entry.update(set={"name": name}, when=still_held(held)))


def unbind(session: Session, product_key: str, device_key: str) -> int:
    """End a binding or share. Return the number of bindings left. Raises `DEVICE_NOT_BOUND` and `CONFLICT`."""
    user, held, _ = get_own(session, product_key, device_key)
    uid, multi = session.uid, held["mode"] == Mode.MULTI
    others = other_users(held["device"], uid) if multi else []
    if held["kind"] == "share":
        dynamodb.transact(give_back(uid, held, _why_not_given_back(uid), user.pseudonym))
    else:
        binding = items.user_binding(held["device"], uid) if multi else items.owner(held["device"])
        same = equals("binding", held["binding"])
        device = held["device"]
        # In multi mode, the device can stay connected for other users.
        ending = presence.ending(device, held["binding"]) if multi else presence.forgetting(device)
        dynamodb.transact(
            [
                binding.delete(when=same.raises(Reason.DEVICE_NOT_BOUND)),
                *ending.writes,
                *end_binding(uid, held, Reason.CONFLICT),
                *leave_family(uid, held),
            ]
        )
        device_connections.release(ending.last)
    if multi:
        return sum(other["kind"] == "binding" for other in others)
    return 1 if held["kind"] == "share" else 0


def other_users(device: str, uid: str) -> list[items.Binding]:
    """Return other users' bindings and live shares in multi mode."""
    # One round trip: a megabyte.
    found = dynamodb.query(items.user_bindings(device), consistent=True, round_trips=1)
    return [other for other in found if other["sk"] != identity.user_holder(uid) and holdings.lasts(other)]


def end_binding(uid: str, held: items.UserDevice, raises: Verdict, *, by: str = "") -> Iterator[Delete]:
    """Remove an entry, if unchanged, and the binding's live shares, except the entry of the user `by`."""
    product_key, device_key = held["product_key"], held["device_key"]
    same = equals("binding", held["binding"])
    unchanged = absent() | (same & equals("shares", held["shares"]))
    yield items.user_device(uid, product_key, device_key).delete(when=unchanged.raises(raises))
    absent_or_same = (absent() | same).raises(raises)
    # Expired shares stay until their time to live or a replacement: their entries can be of another binding by now.
    for sharer in holdings.lasting(held["shares"]):
        if sharer == by:
            continue
        yield items.user_device(sharer, product_key, device_key).delete(when=absent_or_same)
        if held["mode"] == Mode.MULTI:
            yield items.user_binding(held["device"], sharer).delete(when=absent_or_same)


def give_back(uid: str, held: items.UserDevice, raises: Verdict, pseudonym: str = "") -> list[Update | Delete]:
    """End an accepted share, and the lease of `pseudonym`."""
    product_key, device_key = held["product_key"], held["device_key"]
    same_binding = equals("binding", held["binding"]).raises(raises)
    same_share = equals("share", held["share"]).raises(raises)
    relation: Update | Delete
    if held["mode"] == Mode.MULTI:
        relation = items.user_binding(held["device"], uid).delete(when=same_share)
    else:
        removed = [("shares", uid), ("leases", pseudonym)]
        relation = items.owner(held["device"]).update(remove=removed, when=same_binding)
    sharers_entry = items.user_device(held["by"], product_key, device_key)
    return [
        relation,
        sharers_entry.update(remove=[("shares", uid)], when=same_binding),
        items.user_device(uid, product_key, device_key).delete(when=same_share),
    ]


def _why_not_given_back(uid: str) -> Verdict:
    # The device may have been transferred to the user concurrently.
    me = identity.user_holder(uid)
    return lambda now: Reason.CONFLICT if "accepted" in now and now["holder"] == me else Reason.DEVICE_NOT_BOUND


def leave_family(uid: str, held: items.UserDevice) -> list[Update]:
    """Remove a binding from its family's common list."""
    if not held["common"] or held["fid"] is None:
        return []
    return [families.remove_common(held["fid"], families.common_entry(held["device"], uid, held["mode"]))]


def still_held(held: items.UserDevice) -> Condition:
    """Condition: an entry is for the same binding or share."""
    same = equals("share", held["share"]) if held["kind"] == "share" else equals("binding", held["binding"])
    return (equals("kind", held["kind"]) & same).raises(Reason.DEVICE_NOT_BOUND)


def describe(session: Session, held: items.UserDevice, product: items.Product | None, online: bool) -> Device:
    """Return a device as its user sees it."""
    # A share's code stays in the domain where it was accepted.
    shared = held["kind"] == "share"
    return Device(
        product_key=held["product_key"],
        product_name="" if product is None else product["name"],
        device_key=held["device_key"],
        serial=held["serial"],
        name=held["name"],
        auth_key=auth_key(held),
        mode=Mode(held["mode"]),
        shared=shared,
        capabilities=capabilities(held, product),
        fid=held["fid"],
        frid=held["frid"],
        uid=session.uid,
        bound_at=held["bound_at"],
        share_code=share_codes.encode(_accepted_offer(held), session.account, held["domain"]) if shared else None,
        online=online,
    )


def auth_key(held: items.UserDevice) -> str:
    """Return the `authKey` of a binding, or of a share, which has its own and ends with it."""
    return secrets.auth_key(held["share"] if held["kind"] == "share" else held.get("key_id", held["binding"]))


def capabilities(held: items.UserDevice, product: items.Product | None) -> int:
    """Return the capabilities of a device, or else of its product."""
    return held["capabilities"] or (product or {}).get("capabilities", products.CAPABILITIES)


def _accepted_offer(held: items.UserDevice) -> Offer:
    return Offer(
        held["by"],
        held["generation"],
        held["product_key"],
        held["device_key"],
        held["binding"],
        held["series"],
        held["accepting_until"],
        held["expires_at"],
    )


def get_own(session: Session, product_key: str, device_key: str, *reads: Read) -> tuple[User, items.UserDevice, Batch]:
    """Return the user, their entry, and the batch. Raises `DEVICE_NOT_BOUND`."""
    entry = items.user_device(session.uid, product_key, device_key)
    found = dynamodb.get_many([*session.reads(Reason.LOOKUP_FAILED), Read(entry, Reason.LOOKUP_FAILED), *reads])
    user, held = session.confirm(found), found[entry]
    if held is None or not holdings.lasts(held):
        raise Refused(Reason.DEVICE_NOT_BOUND)
    return user, held, found
