"""Events of devices, derived from changes of their items."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from bindery.feed.changes import Change, Derived, Person
from bindery.registry import acts, bindings, identity
from bindery.registry.bindings import Mode
from bindery.security import secrets

_Item = Mapping[str, Any]

_NOTHING: _Item = MappingProxyType({})
REGISTERED, DELETED = "device.registered", "device.deleted"
_DIGITS = 32
"""Digits of a fingerprint in an event."""
_WITH_CHANGE = ("ended", "offered")
"""Acts beside a change of a binding, which gives the event."""
_RENAMED = ("alias", "nickname")
"""Holders' names for devices in bindings."""


def registered(device: str, made: int) -> Derived:
    """Return the first event of a device, which any of its records shows."""
    return _event(REGISTERED, device, made, {}, (device, str(made)))


def deleted(device: str, act: _Item) -> Derived:
    """Return the last event of a device, which an operator deleted."""
    since = str(act["since"])
    return _event(DELETED, device, act["at"], {"operator": act["by"]}, (device, since), since=act["since"])


def of_device(change: Change) -> Iterator[Derived]:
    """Derive events from a change of a device's own item. Operators' changes have acts."""
    if change.old is None and change.new is not None and identity.is_device(change.pk):
        yield registered(change.pk, change.new["created_at"])


def of_binding(change: Change) -> Iterator[Derived]:
    """Derive events from a change in the table of bindings."""
    if identity.is_device(change.pk):
        kind = next((kind for kind in _OF_DEVICES if change.sk.startswith(kind)), None)
        if kind is not None:
            yield from _OF_DEVICES[kind](change)
    elif change.pk.startswith("user#") and change.sk.startswith("device#"):
        yield from _entry(change)


# ── bindings, shares and registrations ────────────────────────────────────────────────────────────────────────────────


def _binding(change: Change) -> Iterator[Derived]:
    """A binding, registration or in multi mode share began, changed or ended."""
    old, new = _in_effect(change.old), _in_effect(change.new)
    if old is not None and new is not None and _relation(old) == _relation(new):
        yield from _changed(change, old, new)
        return
    if old is not None:
        yield from _ended(change, old, new)
    if new is not None:
        yield _begun(change, new)


def _in_effect(binding: _Item | None) -> _Item | None:
    return None if binding is None or binding.get("status") == "unregistered" else binding


def _relation(held: _Item) -> tuple[str, str]:
    """Return what remains the same as long as a binding or share lasts."""
    return held.get("kind", "binding"), held["share"] if held.get("kind") == "share" else held["binding"]


def _begun(change: Change, new: _Item) -> Derived:
    if new.get("kind") == "share":
        return _accepted(change, new, _sharer(new), new["holder"], new["expires_at"])
    bound = {"binding": new["binding"], "holder": _holder(new), "exclusive": change.sk == "owner"}
    return _change("device.bound", change, bound)


def _ended(change: Change, old: _Item, new: _Item | None) -> Iterator[Derived]:
    """A binding ended with its shares and leases, or a share with its lease."""
    if old.get("kind") == "share":
        ended = (old["share"], old["binding"])
        yield _share_ended(change, old, _sharer(old), old["holder"], old["expires_at"], ended)
        yield from _leases_ended(change, old, _NOTHING)
        return
    # A binding that replaces another was made by its holder, unless they accepted an offer: operators do that for them.
    cause = "holder" if new is None else "transferred" if "accepted" in new else "evicted"
    by_operator = () if cause == "evicted" else (old["binding"],)
    for uid, until in sorted(old.get("shares", {}).items()):
        yield _share_ended(change, old, _holder(old), identity.user_holder(uid), until, by_operator)
    yield from _leases_ended(change, old, _NOTHING)
    unbound = {"binding": old["binding"], "holder": _holder(old), "cause": cause}
    yield _change("device.unbound", change, unbound, ended=by_operator)


def _changed(change: Change, old: _Item, new: _Item) -> Iterator[Derived]:
    """A binding or share lasts."""
    same = {"binding": new["binding"], "holder": _holder(new)}
    if any(old.get(name) != new.get(name) for name in _RENAMED):
        yield _change("device.renamed", change, same)
    if old.get("status") != new.get("status"):
        yield _change("device.blocked" if new["status"] == "blocked" else "device.unblocked", change, same)
    yield from _shares_changed(change, old, new)
    yield from _offer_changed(change, old, new)
    yield from _leases_ended(change, old, new)


def _shares_changed(change: Change, old: _Item, new: _Item) -> Iterator[Derived]:
    """Shares of a binding in an exclusive mode began or ended."""
    before, after = old.get("shares", {}), new.get("shares", {})
    lasting = {uid for uid, until in before.items() if uid in after and not _is_over(change, until, after[uid])}
    for uid in sorted(before.keys() - lasting):
        ended = (bindings.share_id(old["binding"], uid),)
        yield _share_ended(change, old, _holder(old), identity.user_holder(uid), before[uid], ended)
    for uid in sorted(after.keys() - lasting):
        yield _accepted(change, new, _holder(new), identity.user_holder(uid), after[uid])


def _offer_changed(change: Change, old: _Item, new: _Item) -> Iterator[Derived]:
    """An offer of the device was made or ended, but not with its binding."""
    before, after = old.get("offer"), new.get("offer")
    same = {"binding": new["binding"], "holder": _holder(new)}
    if after is not None and (before is None or before["id"] != after["id"]):
        offered = same | {"user": Person(identity.user_holder(after["to"])), "until": after["until"] * 1000}
        yield _change("device.offered", change, offered, ended=(after["id"],))
    elif before is not None and after is None:
        ended = same | {"user": Person(identity.user_holder(before["to"])), "cause": "withdrawn"}
        yield _change("device.offer_ended", change, ended, ended=(acts.offer_end(before["id"]),))


def _is_over(change: Change, until: int, new: int) -> bool:
    """Return True if a share had expired, and its user has accepted another."""
    return until != new and change.has_passed(until)


def _accepted(change: Change, held: _Item, sharer: Any, user: str, until: int) -> Derived:
    share = {"binding": held["binding"], "holder": sharer, "user": Person(user), "until": until * 1000}
    return _change("device.share_accepted", change, share, user)


def _share_ended(
    change: Change, held: _Item, sharer: Any, user: str, until: int, ended: tuple[str, ...], device: str = ""
) -> Derived:
    device = device or change.pk
    share = {"binding": held["binding"], "holder": sharer, "user": Person(user)}
    if not change.has_passed(until):
        return _change("device.share_ended", change, share | {"cause": "ended"}, user, ended=ended)
    # A binding's share and the user's entry expire apart, and a share can be named long after it has expired.
    facts = (device, held["binding"], user, str(until))
    return _event("device.share_ended", device, change.at, share | {"cause": "expired"}, facts)


# ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _leases_ended(change: Change, old: _Item, new: _Item) -> Iterator[Derived]:
    """A binding or share names leases no longer."""
    named = {lease["id"] for lease in new.get("leases", {}).values()}
    for lease in sorted(lease["id"] for lease in old.get("leases", {}).values()):
        if lease not in named:
            yield _lease_ended(change, lease)


def _lease(change: Change) -> Iterator[Derived]:
    """A lease began, ended or was replaced."""
    old, new = change.old or _NOTHING, change.new or _NOTHING
    before, after = old.get("connection"), new.get("connection")
    if before == after:
        return
    if before is not None:
        yield _lease_ended(change, before)
    if after is not None:
        user = Person(identity.user_holder(new["caller"]))
        opened = {"connection": _fingerprint(after), "user": user, "until": new["expires_at"] * 1000}
        yield _change("connection.opened", change, opened)


def _lease_ended(change: Change, lease: str) -> Derived:
    # The binding that names a lease and the lease itself end apart.
    return _event("connection.ended", change.pk, change.at, {"connection": _fingerprint(lease)}, (lease,))


def _presence(change: Change) -> Iterator[Derived]:
    """A device connected, or its connection ended."""
    old, new = _connected(change.old), _connected(change.new)
    if old.get("connection") == new.get("connection"):
        return
    if old:
        yield _change("device.offline", change, {"binding": old["binding"]})
    if new:
        yield _change("device.online", change, {"binding": new["binding"]})


def _connected(presence: _Item | None) -> _Item:
    # The list of connected devices has a presence until its connection ends.
    return presence if presence is not None and "holder" in presence else _NOTHING


# ── users' entries ────────────────────────────────────────────────────────────────────────────────────────────────────


def _entry(change: Change) -> Iterator[Derived]:
    """A user renamed or offered a device, or a share in an exclusive mode expired."""
    old, new = change.old, change.new
    if old is None:
        return
    device, same = old["device"], {"binding": old["binding"], "holder": Person(change.pk)}
    if new is None or _relation(old) != _relation(new):
        if old["kind"] == "share" and old["mode"] != Mode.MULTI and change.has_passed(old["expires_at"]):
            yield _share_ended(change, old, _sharer(old), change.pk, old["expires_at"], (), device)
        return
    if old["name"] != new["name"]:
        yield _change("device.renamed", change, same, device=device)
    if any(old.get(name) != new.get(name) for name in ("series", "offered_until")):
        yield _change("device.shared", change, same | {"until": new["offered_until"] * 1000}, device=device)


# ── operators' acts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _act(change: Change) -> Iterator[Derived]:
    """An operator did something to a device."""
    act = change.new
    if act is None or change.old is not None or act["did"] in _WITH_CHANGE:
        return
    if act["did"] == "deleted":
        yield deleted(change.pk, act)
        return
    done = {name: act[name] for name in ("reason",) if name in act}
    if "address" in act:
        done["address"] = _fingerprint(act["address"])
    yield _change(f"device.{act['did']}", change, {"operator": act["by"], **done})


_OF_DEVICES: Mapping[str, Callable[[Change], Iterator[Derived]]] = MappingProxyType(
    {
        "owner": _binding,
        "user#": _binding,
        "connection#": _lease,
        "link#presence": _presence,
        "act#": _act,
    }
)
"""By the beginning of the sort key. The other items of a device give no events."""


def _change(
    kind: str, change: Change, data: dict[str, Any], *more: str, device: str = "", ended: tuple[str, ...] = ()
) -> Derived:
    """Return an event that only this change shows. `more` distinguishes several of a type."""
    return _event(kind, device or change.pk, change.at, data, (change.id, *more), ended)


def _event(
    kind: str,
    device: str,
    at: int,
    data: dict[str, Any],
    facts: tuple[str, ...],
    ended: tuple[str, ...] = (),
    since: int | None = None,
) -> Derived:
    known = {"device": identity.opaque(device), "api": identity.parts(device)["dialect"]}
    return Derived(kind, facts, at, device, known | data, ended, since)


def _holder(binding: _Item) -> Any:
    kind, name = identity.holder_parts(binding["holder"])
    return {"kind": kind, "id": name} if kind == "account" else Person(binding["holder"])


def _sharer(share: _Item) -> Person:
    return Person(identity.user_holder(share["by"]))


def _fingerprint(private: str) -> str:
    return secrets.fingerprint(private)[:_DIGITS]
