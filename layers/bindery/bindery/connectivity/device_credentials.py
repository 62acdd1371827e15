"""Credentials with which devices connect: a binding's own (deviceid, `authKey`), or a device key from an operator."""

import secrets as random
from collections.abc import Sequence
from typing import Any, NamedTuple

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Check, Key, Put, Read, Table, Write
from bindery.aws.expressions import Condition, absent, equals, every, exists
from bindery.connectivity import device_connections, presence
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import key_guesses
from bindery.registry import acts, devices, identity, items
from bindery.security import secrets

_PREFIX = "bdk_"


ATTEMPTS = 5
"""Attempts to connect a device of which another agent connects at the same time."""


class Connected(NamedTuple):
    """A device that may connect, under a binding."""

    device: str
    binding: str
    sort_key: str
    """The binding's."""
    holder: str
    account: str
    """The holder's; empty for a bank's customer."""
    replaced: items.Presence | None
    """The device's earlier connection."""


def issue(device: str) -> str:
    """Return a new device key, which replaces an earlier one. Raises `NOT_FOUND` and `CONFLICT`."""
    key, issued = new_key()
    there = items.device(device).check(devices.EXISTS)
    _replace_key(device, [there, items.device_key(device).put(issued), *acts.of(device, did="key_issued")])
    return key


def new_key() -> tuple[str, items.DeviceKey]:
    """Return a new device key, and its item."""
    key = _PREFIX + random.token_urlsafe(32)
    return key, {"credential": secrets.fingerprint(key), "created_at": clock.now()}


def revoke(device: str) -> None:
    """Revoke a device's key. Raises `NOT_FOUND` and `CONFLICT`."""
    deletion = items.device_key(device).delete(when=exists().raises(Reason.NOT_FOUND))
    _replace_key(device, [deletion, *acts.of(device, did="key_revoked")])


def revocation(device: str, key: items.DeviceKey | None, act: Sequence[Put]) -> list[Write]:
    """Revoke a device's key, if it has one, with the end of its binding. The writes raise `CONFLICT` if it changed."""
    if key is None:
        return []
    same = equals("credential", key["credential"]).raises(Reason.CONFLICT)
    return [items.device_key(device).delete(when=same), *act]


def _replace_key(device: str, writes: Sequence[Write | Check]) -> None:
    """Replace or revoke a device key, and disconnect the device if it used the key."""
    last = presence.find(device)
    ends = last is not None and last["key"]
    known, unchanged = items.presence(device), presence.unchanged(last)
    dynamodb.transact([*writes, known.delete(when=unchanged) if ends else known.check(unchanged)])
    if ends:
        device_connections.disconnect(last, "revoked")


def connect(credential: str, connection: str, source_ip: str, agent: str) -> Connected:
    """Record that a device connects with a credential.

    Raises `KEY_UNKNOWN`, `KEY_THROTTLED`, `DEVICE_NOT_BOUND`, `DEVICE_BANNED`, `ACCESS_DENIED` (holder disabled) and
    `CONFLICT`.
    """
    for attempt in range(ATTEMPTS):
        try:
            return _connect(secrets.fingerprint(credential), connection, source_ip, agent)
        except Refused as refused:
            if refused.reason is not Reason.CONFLICT or attempt + 1 == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _connect(hashed: str, connection: str, source_ip: str, agent: str) -> Connected:
    found = _find(hashed)
    if found is None:
        key_guesses.refuse("device", source_ip)
    key, binding, last = found
    device = binding["pk"]
    account = _account(binding["holder"])
    now = clock.now()
    made: items.Presence = {
        **presence.listed(device, connection, now),
        "binding": binding["binding"],
        "sort_key": binding["sk"],
        "connection": connection,
        "key": key == items.device_key(device),
        "ip": source_ip,
        "agent": agent,
        "connected_at": now,
        "until": now + presence.LIFETIME * 1000,
    }
    dynamodb.transact(
        [
            items.device(device).check(devices.NOT_BANNED),
            *_key_unchanged(key, binding, hashed),
            device_connections.seen(Key(Table.BINDINGS, device, binding["sk"]), _still_bound(key, binding, hashed)),
            items.presence(device).put(made, when=presence.unchanged(last)),
        ]
    )
    return Connected(device, binding["binding"], binding["sk"], binding["holder"], account, last)


class _Found(NamedTuple):
    key: Key[Any]
    """Key of the item that has the credential."""
    binding: items.Binding
    last: items.Presence | None


def _find(hashed: str) -> _Found | None:
    """Return the binding of a credential. Raises `DEVICE_NOT_BOUND`."""
    for listed in dynamodb.query(items.with_credential(hashed), round_trips=1):
        key: Key[Any] = items.key_of(Table.BINDINGS, listed)
        last = items.presence(listed["pk"])
        owner = items.owner(listed["pk"])
        found = dynamodb.get_many([Read(key), Read(owner), Read(last)])
        named = found[key]
        # The index may be out of date.
        if named is None or named.get("credential") != hashed:
            continue
        if key != items.device_key(listed["pk"]):
            return _Found(key, named, found[last])
        binding = found[owner] or _first_user(listed["pk"])
        if binding is None:
            raise Refused(Reason.DEVICE_NOT_BOUND)
        return _Found(key, binding, found[last])
    return None


def _first_user(device: str) -> items.Binding | None:
    """Return the first binding in multi mode."""
    users = dynamodb.query(items.user_bindings(device), consistent=True, round_trips=1)
    return next((user for user in users if user["kind"] == "binding"), None)


def _account(holder: str) -> str:
    """Return a holder's account, or "" for a bank's customer. Raises `ACCESS_DENIED` if either is disabled."""
    # Read, not checked in the transaction: all of an account's devices may connect at once.
    kind, account = identity.holder_parts(holder)
    if kind == "user":
        user = dynamodb.get(items.user(account))
        if user is None or not user["enabled"]:
            raise Refused(Reason.ACCESS_DENIED)
        account = user["account"]
    elif kind != "account":
        return ""
    found = dynamodb.get(items.account(account))
    if found is None or not found["enabled"]:
        raise Refused(Reason.ACCESS_DENIED)
    return account


def _key_unchanged(key: Key[Any], binding: items.Binding, hashed: str) -> list[Check]:
    if key.sk == binding["sk"]:
        return []
    return [key.check(equals("credential", hashed).raises(Reason.KEY_UNKNOWN))]


def _still_bound(key: Key[Any], binding: items.Binding, hashed: str) -> Condition:
    own = [equals("credential", hashed)] if key.sk == binding["sk"] else []
    in_effect = absent("status") | equals("status", "active")
    return every([equals("binding", binding["binding"]), in_effect, *own]).raises(Reason.DEVICE_NOT_BOUND)
