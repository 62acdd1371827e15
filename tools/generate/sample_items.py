"""A sample item of each kind, written by the operations' rules to tables in memory.

Time and random values are fixed.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from bindery.asseco import issued_devices, owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Batch, Check, Key, Partition, Put, Read, Update, Write
from bindery.connectivity import access, device_credentials, frames, leases, presence, service_addresses
from bindery.core import clock, env
from bindery.directory import accounts, api_keys, products, settings, storage_format, tsl, users
from bindery.directory.api_keys import Grant, Kind
from bindery.directory.sessions import Session
from bindery.feed import chain, listing, people
from bindery.feed.chain import Draft
from bindery.quectel import binding, domain_secrets, families, sharing, transfers
from bindery.quectel.sharing import Cover
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices, timing
from bindery.security import secrets
from tools.local import demo

NOW = 1795176000
"""Time of the sample events, in seconds."""

_ENVIRONMENT = {"DATA_CENTER": "eu", "HISTORY_DAYS": "400", "LEASE_SECONDS": "28800", "PASSING_DAYS": "90"}

ACCOUNT, DOMAIN, FAMILY, RUN = "acme", "app", "home-1", "7d0c1f"
PRODUCT_KEY, SERIAL, DEVICE_KEY = demo.PRODUCT_KEY, demo.SERIALS[""], "F4A1B2C3D4E1"
USED = "1d4b6e0f8a2c4f7e9b3d5a7c1e2f4b68"
ADDRESS, API_KEY = demo.ADDRESSES["REMOTEIT_DEVICE_ADDRESS"], demo.DOCUMENTED["RUFUS_API_KEY"]
CUSTOMER, IDENTIFIER, NICKNAME = demo.CUSTOMERS[""], "990000862471854", "My Phone"
CARD = demo.ISSUED[0]
EVENT, RECORD, WEBHOOK = "5e8f2a90c7d14b36a0e94f1d2c7b8a65", "1b0f3c77a4", "wh_4f1d2c7b8a650e94"
OPERATOR = "arn:aws:iam::123456789012:user/operator"
PROPERTY = {"id": 1, "code": "on", "name": "On", "type": "PROPERTY", "dataType": "BOOL", "subType": "RW", "specs": []}


def by_kind() -> dict[str, Mapping[str, Any]]:
    """Return an item of each kind, by the kind's name."""
    device = identity.manufactured_device(PRODUCT_KEY, SERIAL)
    with _fixed() as tables:
        _write_all(device)
        keys: dict[str, Key[Any]] = {
            "Device": items.device(device),
            "Binding": items.owner(device),
            "Registration": items.registration(identity.customer_device(IDENTIFIER)),
            "UserDevice": items.user_device("ada", PRODUCT_KEY, DEVICE_KEY),
            "DeviceKey": items.device_key(device),
            "Presence": items.presence(device),
            "Properties": items.properties(device),
            "Tunnel": items.tunnel(device, USED),
            "Frame": items.frame(USED, 0),
            "Passing": next(key for key in tables if key.sk and key.sk.startswith("at#")),
            "Act": next(key for key in tables if key.sk and key.sk.startswith("act#")),
            "NicknameLock": items.nickname_lock(CUSTOMER, NICKNAME),
            "Connection": items.connection(device, "ada"),
            "Attempts": items.guesses("ada"),
            "UsedToken": items.used_token(USED),
            "Account": items.account(ACCOUNT),
            "ApiKey": api_keys.presented(API_KEY),
            "User": items.user("ada"),
            "LoginName": items.email_in_domain(DOMAIN, "ada@example.com"),
            "UserDomain": items.user_domain(DOMAIN),
            "Product": items.product(PRODUCT_KEY),
            "Tsl": items.tsl(PRODUCT_KEY),
            "Bar": items.bar(PRODUCT_KEY, "cleo"),
            "Family": items.family(FAMILY),
            "Membership": items.membership(FAMILY, "ada"),
            "OfferNote": items.offer_note("ben", device),
            "ServiceName": items.service_name("ada", ADDRESS),
            "ServiceAddress": items.service_address(ADDRESS),
            "IssuedDevice": items.issued_device(CUSTOMER, CARD["device_id"]),
            "Setting": items.setting(settings.DEVICE_MANAGEMENT),
            "StorageFormat": items.STORAGE_FORMAT,
            "DoctorRun": items.doctor_run(RUN),
            **_of_feed(device),
        }
        return {kind: tables[key] for kind, key in keys.items()}


def _of_feed(device: str) -> dict[str, Key[Any]]:
    """Return the keys of what the change feed writes."""
    return {
        "Webhook": items.webhook(WEBHOOK),
        "Event": items.event(device, 1),
        "Reference": items.recorded(EVENT),
        "Person": items.person(identity.user_holder("ada")),
        "Unrecorded": items.unrecorded(NOW * 1000, RECORD),
        "Cursor": items.cursor(WEBHOOK, device),
        "DeadLetter": items.dead(WEBHOOK, NOW * 1000, EVENT),
        "Delivery": items.delivery(WEBHOOK, device, NOW * 1000, EVENT),
        "Listing": items.listing(device),
        "ListEntry": items.list_entry(listing.scope_of(device), "bound", NOW * 1000, device),
        "Counts": _counts_of(device),
        "DayCounts": _counts_of(device)._replace(sk="day#2026-11-20"),
        "Scope": items.scope(listing.scope_of(device)),
        "FeedPosition": items.FEED_POSITION,
    }


def _counts_of(device: str) -> Key[Any]:
    return items.counts(listing.scope_of(device), items.shard(device, items.COUNT_SHARDS))


def _write_all(device: str) -> None:
    accounts.create(ACCOUNT, name="Acme")
    api_keys.issue(ACCOUNT, Kind.RUFUS, Grant.READ_WRITE, alias="warehouse", chosen=API_KEY)
    domain_secrets.create(DOMAIN)
    users.create("ada", ACCOUNT, domain=DOMAIN, home_mode=True, email="ada@example.com")
    users.set_password("ada", "correct horse battery staple")
    users.create("ben", ACCOUNT, domain=DOMAIN)
    users.create("cleo", ACCOUNT, domain=DOMAIN)
    families.create(FAMILY, "ada", members=["cleo"], rooms=["kitchen"])
    products.create(PRODUCT_KEY, name="Lamp", module_type="FC41D")
    tsl.load(PRODUCT_KEY, {"properties": [PROPERTY]})
    products.bar(PRODUCT_KEY, "cleo")
    devices.manufacture(PRODUCT_KEY, SERIAL, device_key=DEVICE_KEY)
    ada, ben = _session("ada"), _session("ben")
    binding.bind(ada, PRODUCT_KEY, SERIAL, capabilities=1, name="Kitchen lamp", fid=FAMILY, frid="kitchen", common=True)
    code = sharing.offer(
        ada, PRODUCT_KEY, DEVICE_KEY, accepting_until=None, sharing_until=(NOW + 30 * 86400) * 1000, cover=Cover.ADD
    )
    sharing.accept(ben, code, None)
    _write_link(device)
    service_addresses.assign(ADDRESS, device)
    access.rename(ada.look_up(), ADDRESS, service_addresses.find(ADDRESS), "Kitchen", used=None)
    lease = leases.connect(ada.look_up(), ADDRESS, service_addresses.find(ADDRESS), "203.0.113.9")
    _write_tunnel(device, lease)
    owned_devices.register(
        CUSTOMER,
        IDENTIFIER,
        kind=owned_devices.IdentifierKind.IMEI,
        nickname=NICKNAME,
        operating_system="iOS 9.x",
        brand_name="Apple IPhone",
        model_name="IP-6S",
        push_platform=None,
        push_handle=None,
    )
    deviceid = company_devices.bind(ACCOUNT, "Model X1", "DEVICE-123", alias=None, firmware=None, kind=None)
    token = timing.open_session(ACCOUNT, deviceid)
    passing: items.Passing = {"at": NOW * 1000, "num_passing": 1, "bib": "17", "chip": "000000000000017"}
    timing.insert(ACCOUNT, token, [passing])
    # Tokens are checked against the real time, so renewing one would fail.
    dynamodb.write(items.used_token(USED).put({"used_at": clock.now(), "expires_at": NOW + 30 * 86400}))
    _write_settings()
    with dynamodb.acting(OPERATOR):
        devices.deactivate(identity.customer_device(IDENTIFIER))
    _write_history(device)
    with dynamodb.acting(OPERATOR):
        transfers.offer(device, "ben")


def _write_history(device: str) -> None:
    ada = {"kind": "user", "id": people.pseudonym(identity.user_holder("ada"), clock.now())}
    known = {"device": identity.opaque(device), "api": "quectel"}
    bound = known | {"binding": RUN, "holder": ada, "exclusive": True}
    persons = frozenset({ada["id"]})
    draft = Draft(EVENT, "device.bound", NOW * 1000, device, bound, RECORD, persons)
    (event,) = chain.append(draft, also=lambda events: listing.writes(device, events))
    dynamodb.write(items.scope(listing.scope_of(device)).put({}))
    unrecorded: items.Unrecorded = {"record": "{}", "error": "KeyError", "expires_at": event["expires_at"]}
    dynamodb.write(items.unrecorded(NOW * 1000, RECORD).put(unrecorded))
    dynamodb.write(items.FEED_POSITION.put({"position": 1}))
    _write_deliveries(event)


def _write_deliveries(event: items.Event) -> None:
    about = {name: event[name] for name in ("type", "chain", "at", "expires_at")} | {
        "event": event["id"],
        "status": 500,
    }
    webhook: items.Webhook = {
        "id": WEBHOOK,
        "url": "https://crm.example.com/bindery",
        "types": {"device.bound": NOW * 1000},
        "enabled": True,
        "enabled_at": NOW * 1000,
        "secrets": [{"sealed": "Yc5…"}],
        "created_at": NOW * 1000,
    }
    cursor: items.Cursor = {
        "webhook": WEBHOOK,
        "chain": event["chain"],
        "next": 1,
        "wanted": 1,
        "attempts": 1,
        "failing_since": NOW * 1000,
        "collection": items.due_shard(items.shard(event["chain"], items.SHARDS)),
        "time": f"{NOW * 1000 + 5000:013}",
        "expires_at": event["expires_at"],
    }
    dynamodb.write(items.webhook(WEBHOOK).put(webhook))
    dynamodb.write(items.cursor(WEBHOOK, event["chain"]).put(cursor))
    dynamodb.write(Put(items.dead(WEBHOOK, event["at"], EVENT), about | {"seq": 1}))
    attempt = about | {"attempt": 1, "milliseconds": 38}
    dynamodb.write(Put(items.delivery(WEBHOOK, event["chain"], event["at"], EVENT), attempt))


def _write_tunnel(device: str, lease: leases.Connection) -> None:
    tunnel: items.Tunnel = {
        "holder": identity.tunnel_holder("ada"),
        "holder_sort": USED,
        "lease": lease.id,
        "caller": "ada",
        "account": ACCOUNT,
        "per_user": False,
        "connection": "KLLbYmQMwIdFTIB=",
        "expires_at": lease.expires_at,
    }
    dynamodb.write(items.tunnel(device, USED).put(tunnel))


def _write_settings() -> None:
    issued_devices.enter(CUSTOMER, **CARD)
    settings.change(settings.DEVICE_MANAGEMENT, 1)
    storage_format.record()
    # The doctor's own run lists some thirty items.
    entered = [[key.table, key.pk, key.sk] for key in (items.account(f"doctor-{RUN}-rufus"),)]
    dynamodb.write(items.doctor_run(RUN).put({"entered": entered, "created_at": clock.now()}))


def _write_link(device: str) -> None:
    device_credentials.issue(device)
    last: items.Presence = {
        **presence.listed(device, "JKJaXmPLvHcESHA=", clock.now()),
        "binding": RUN,
        "sort_key": "owner",
        "connection": "JKJaXmPLvHcESHA=",
        "key": False,
        "ip": "203.0.113.77",
        "agent": "bindery-agent/0.2",
        "connected_at": clock.now(),
        "until": clock.now() + presence.LIFETIME * 1000,
    }
    dynamodb.write(items.presence(device).put(last))
    # Devices will write this item themselves.
    reported: items.Properties = {
        "binding": RUN,
        "values": {"on": {"value": "true", "at": clock.now(), "order": clock.now() * 1_000_000}},
    }
    dynamodb.write(items.properties(device).put(reported))
    frames.put(USED, 0, "SFRUUC8xLjEgMjAwIE9LDQoNCg==", fin=True)


def _session(uid: str) -> Session:
    return Session(uid, ACCOUNT, DOMAIN, users.show(uid)["generation"])


@contextmanager
def _fixed() -> Iterator["_Tables"]:
    """Replace the tables, secrets, settings, clock and random numbers."""
    tables, random = _Tables(), Random(0)  # noqa: S311 (not for secrets)
    with ExitStack() as stack:
        for name in ("get", "get_many", "last", "write", "transact"):
            stack.enter_context(patch.object(dynamodb, name, getattr(tables, name)))
        stack.enter_context(patch.object(secrets, "secret", str.encode))
        stack.enter_context(patch.object(env, "read", _ENVIRONMENT.__getitem__))
        stack.enter_context(patch("time.time", lambda: float(NOW)))
        stack.enter_context(patch("time.time_ns", lambda: NOW * 10**9))
        for source in ("os.urandom", "random._urandom"):
            stack.enter_context(patch(source, random.randbytes))
        yield tables


class _Tables(dict[Key[Any], dict[str, Any]]):
    """The functions of `bindery.aws.dynamodb` that these rules call. Conditions are not checked."""

    def get_many(self, reads: Sequence[Read]) -> Batch:
        return Batch({read.key: self[read.key] for read in reads if read.key in self})

    def last(self, partition: Partition[Any]) -> dict[str, Any] | None:
        return None

    def transact(self, operations: Sequence[Write | Check], *, aside: Write | None = None) -> None:
        for operation in operations if aside is None else [*operations, aside]:
            if not isinstance(operation, Check):
                self.write(operation)

    def write(self, operation: Write) -> None:
        key = operation.key
        match operation:
            case Put():
                self[key] = {**key.attributes(), **operation.item}
            case Update():
                self[key] = _updated(self.get(key, key.attributes()), operation)
            case _:
                raise NotImplementedError


def _updated(item: Mapping[str, Any], update: Update) -> dict[str, Any]:
    if update.delete:
        raise NotImplementedError
    changed = copy.deepcopy({**update.once, **item, **update.set})
    for name, amount in update.add.items():
        changed[name] = changed.get(name, set()) | amount if isinstance(amount, set) else changed.get(name, 0) + amount
    for path, value in update.members.items():
        _parent(changed, path)[path[-1]] = value
    for removed in update.remove:
        path = (removed,) if isinstance(removed, str) else removed
        _parent(changed, path).pop(path[-1], None)
    return changed


def _parent(item: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for name in path[:-1]:
        item = item[name]
    return item
