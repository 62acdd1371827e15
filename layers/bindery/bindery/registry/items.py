"""All items and their keys.

Times are milliseconds, except `expires_at`, `…_until`, `logged_out`, `shares` and `leases` (seconds) and `full_at`
(microseconds).
"""

from typing import Any, Literal, TypedDict

from bindery.aws.dynamodb import Index, Key, Partition, T, Table
from bindery.core import clock
from bindery.registry import identity
from bindery.security import secrets

BY_SERIAL = Index("by_serial", "serial", "pk")
"""Devices by serial number, for operators. Projects keys only."""

BY_HOLDER = Index("by_holder", "holder", "holder_sort")
"""Bindings and leases by holder, and connected devices, oldest first. Projects everything: lists read only it."""

BY_LABEL = Index("by_label", "label")
"""Leases by label. Projects what locates the items on which a lease depends."""

BY_CREDENTIAL = Index("by_credential", "credential")
"""Bindings and device keys by the SHA-256 of a device's credential. Projects keys only."""

BY_LIST = Index("by_list", "collection", "pk")
"""Directory items with a `collection`, which operators list. Projects everything."""

BY_TIME = Index("by_time", "collection", "time")
"""Events in the order of recording, and what is due to be delivered. Projects everything."""


Role = Literal["administrator", "regular"]
"""Role in a user domain (quectel)."""

Binders = Literal["everyone", "administrators"]
"""Users who may bind devices (quectel)."""


ServiceKind = Literal["tcp", "ssh", "http", "https", "vnc", "rdp", "samba", "bulk"]
"""Type of a service (remoteit)."""


Did = Literal[
    "banned",
    "unbanned",
    "disabled",
    "enabled",
    "deactivated",
    "activated",
    "address_assigned",
    "address_removed",
    "key_issued",
    "key_revoked",
    "lost",
    "found",
    "retired",
    "returned",
    "offered",
    "ended",
    "deleted",
    "erased",
]
"""An operator's act."""

BanKind = Literal["lost", "retired"]
"""A ban with another name, and another act to lift it."""

Cause = Literal["operator", "erased", "transferred", "returned", "retired", "declined", "withdrawn"]
"""Why an operator's request ended a binding or an offer."""


class Stored(TypedDict, total=False):
    """Attributes of every item."""

    pk: str
    sk: str
    changed_by: str
    changed_at: int
    changed_in: str
    """Time and id of the last bulk job that changed the item."""


def key_of(table: Table, item: T) -> Key[T]:
    """Key of an item that was read."""
    return Key(table, item["pk"], item.get("sk"))


# ── devices: what exists ──────────────────────────────────────────────────────────────────────────────────────────────


class Service(TypedDict, total=False):
    """A service of a device at a service address (remoteit)."""

    assignment: str
    """Id of the address's assignment, to which leases refer."""
    kind: ServiceKind
    port: int


class Device(Stored, total=False):
    """A device, independent of its holder."""

    dialect: str
    created_at: int
    banned_at: int
    ban_reason: str
    banned_by: str | None
    ban_kind: BanKind
    """Absent for a plain ban."""
    unbanned_at: int
    unbanned_by: str | None
    unbound_at: int
    unbind_reason: str
    unbound_by: str | None
    inactive: bool
    """Present while an operator blocks connections."""
    services: dict[str, Service]
    """By service address."""
    # rufus and quectel
    serial: str
    # rufus
    model: str
    # quectel
    product_key: str
    device_key: str | None
    module_type: str | None
    data_center: str | None
    disabled: bool
    """Present while an operator prevents new bindings."""
    # vodlix
    device_os: str
    device_version: str
    device_type: str
    app_version: str
    app_name: str
    added_at: int
    current_screen: str
    content_id: str | None
    content_type: str | None
    active_at: int


def device(identifier: str) -> Key[Device]:
    """Key of a device."""
    return Key(Table.DEVICES, identifier)


def devices_with_serial(serial: str) -> Partition[Device]:
    """Devices with a serial number."""
    return Partition(Table.DEVICES, identity.canonical(serial), BY_SERIAL)


# ── bindings: who holds what ──────────────────────────────────────────────────────────────────────────────────────────


class Lease(TypedDict):
    """Reference to a live lease."""

    id: str
    until: int


class Offer(TypedDict):
    """An offer of a device to another user (quectel, exclusive modes)."""

    id: str
    to: str
    """Uid."""
    until: int
    by: str | None
    """ARN of the operator."""


class Binding(Stored, total=False):
    """The holder of a device. Items that must end with a binding refer to its random id, `binding`."""

    holder: str
    holder_sort: str
    """API and time of binding."""
    binding: str
    bound_at: int
    leases: dict[str, Lease]
    """Live leases by the caller's pseudonym, one for each."""
    credential: str
    """SHA-256 of the credential with which the device connects: deviceid (rufus) or `authKey` (quectel)."""
    # rufus
    model: str
    serial: str
    alias: str
    firmware: str
    type: str
    session: str
    """SHA-256 of the active timing session's secret."""
    sessions: int
    """Number of sessions opened since binding."""
    passings: int
    """Number of passings inserted since binding."""
    last_seen: int
    # quectel
    kind: str
    """In multi mode: `binding` or `share`."""
    device_key: str
    fid: str | None
    common: bool
    key_id: str
    """Id from which the `authKey` is derived, once it was regenerated."""
    shares: dict[str, int]
    """The end of each user's share, by uid. Not in multi mode."""
    offer: Offer
    """The last offer, until it is answered or withdrawn. It ends with the binding."""
    accepted: str
    """Id of the offer by which the holder got the device."""
    share: str
    by: str
    """Uid of the sharer."""
    expires_at: int


class Registration(Binding, total=False):
    """A bank customer's device (asseco), still visible to the last customer after unregistration."""

    status: str
    identifier: str
    identifier_kind: str
    nickname: str
    operating_system: str
    brand_name: str | None
    model_name: str | None
    installation_id: str | None
    push_platform: str | None
    push_handle: str | None
    push_id: str | None
    push_expiration_date: int | None


def owner(device: str) -> Key[Binding]:
    """Key of a device's binding in an exclusive mode."""
    return Key(Table.BINDINGS, device, "owner")


def registration(device: str) -> Key[Registration]:
    """Key of a registration."""
    return Key(Table.BINDINGS, device, "owner")


def user_binding(device: str, uid: str) -> Key[Binding]:
    """Key of a binding or share in multi mode."""
    return Key(Table.BINDINGS, device, identity.user_holder(uid))


def user_bindings(device: str) -> Partition[Binding]:
    """Bindings and shares in multi mode."""
    return Partition(Table.BINDINGS, device, prefix=identity.user_holder(""))


def beside(device: str) -> Partition[Any]:
    """All items of a device in the table of bindings, except operators' acts."""
    return Partition(Table.BINDINGS, device, start="at#")


class Passing(Stored, total=False):
    """A race passing that a device reported (rufus)."""

    at: int
    """Time that the device reported."""
    num_passing: int
    """Number within the session."""
    bib: str
    participant_id: str | None
    chip: str | None
    latitude: str | None
    longitude: str | None
    status: str | None
    timezone: str | None
    gender: str | None
    expires_at: int


def passing(device: str, at: int, session: str, number: int) -> Key[Passing]:
    """Key of a passing of a session."""
    # Smaller than `owner`, so that it is not one of the `holders`.
    return Key(Table.BINDINGS, device, identity.join("at", f"{at:015}", session[:16], str(number)))


def passings(device: str) -> Partition[Passing]:
    """A device's passings, in the order of their times."""
    return Partition(Table.BINDINGS, device, prefix="at#")


def holders(device: str) -> Partition[Binding]:
    """Bindings and shares in any mode."""
    # Leases have smaller sort keys.
    return Partition(Table.BINDINGS, device, start=owner(device).sk)


def held_by(holder: str, dialect: str | None = None) -> Partition[Binding]:
    """A holder's bindings, oldest first."""
    return Partition(Table.BINDINGS, holder, BY_HOLDER, None if dialect is None else f"{dialect}#")


def registrations(customer: str) -> Partition[Registration]:
    """A customer's registrations, oldest first."""
    return Partition(Table.BINDINGS, identity.customer_holder(customer), BY_HOLDER, "asseco#")


class UserDevice(Stored, total=False):
    """A quectel user's entry for a binding or accepted share, written in the same transactions."""

    kind: str
    """`binding` or `share`."""
    device: str
    binding: str
    mode: int
    product_key: str
    serial: str
    device_key: str
    name: str
    capabilities: int | None
    fid: str | None
    frid: str | None
    common: bool
    bound_at: int
    key_id: str
    """The binding's."""
    series: str
    """Id of the valid share codes: a new series ends earlier ones."""
    shares: dict[str, int]
    """The end of each user's share, by uid."""
    offered_until: int
    # Accepted shares
    share: str
    by: str
    generation: int
    domain: str | None
    accepting_until: int
    expires_at: int


def user_device(uid: str, product_key: str, device_key: str) -> Key[UserDevice]:
    """Key of a user's entry."""
    # The item has no `holder`, so it is in no index.
    place = identity.join("device", identity.canonical(product_key), device_key)
    return Key(Table.BINDINGS, identity.user_holder(uid), place)


def user_devices(uid: str) -> Partition[UserDevice]:
    """A user's entries."""
    return Partition(Table.BINDINGS, identity.user_holder(uid), prefix=identity.join("device", ""))


class Reported(TypedDict):
    """A property's last value, as text, and its time."""

    value: str
    at: int
    order: int
    """Time and number of the report."""


class Properties(Stored, total=False):
    """Properties that a device reported last (quectel), and the binding at that time."""

    binding: str
    values: dict[str, Reported]
    """By the TSL's codes."""


def properties(device: str) -> Key[Properties]:
    """Key of a device's properties."""
    # A smaller sort key than those of `holders`.
    return Key(Table.BINDINGS, device, "link#properties")


class DeviceKey(Stored, total=False):
    """A key that an operator issued to a device."""

    credential: str
    """Its SHA-256."""
    created_at: int


def device_key(device: str) -> Key[DeviceKey]:
    """Key of a device's key."""
    # A smaller sort key than those of `holders`.
    return Key(Table.BINDINGS, device, "link#key")


def with_credential(hashed: str) -> Partition[Stored]:
    """Bindings and device keys with a credential."""
    return Partition(Table.BINDINGS, hashed, BY_CREDENTIAL)


class Presence(Stored, total=False):
    """A device's last connection. Void under another binding."""

    holder: str
    """Present until the connection ends, so that the index lists connected devices."""
    holder_sort: str
    """Time and id of the connection."""
    binding: str
    """The binding when the device connected."""
    sort_key: str
    """The binding's."""
    connection: str
    """API Gateway's id of the connection."""
    key: bool
    """True if the device connected with its device key."""
    ip: str
    agent: str
    """User-Agent."""
    connected_at: int
    until: int
    """End of the connection, or its latest possible end."""


def presence(device: str) -> Key[Presence]:
    """Key of a device's presence."""
    # A smaller sort key than those of `holders`.
    return Key(Table.BINDINGS, device, "link#presence")


def online(shard: int, start: str) -> Partition[Presence]:
    """Presences of connected devices in a part of their list, from a time on, oldest first."""
    return Partition(Table.BINDINGS, identity.online_holder(shard), BY_HOLDER, start=start)


class ServiceName(Stored, total=False):
    """A user's own name for a service (remoteit)."""

    kind: str
    """`name`."""
    name: str


def service_name(uid: str, address: str) -> Key[ServiceName]:
    """Key of a service's name."""
    return Key(Table.BINDINGS, identity.user_holder(uid), identity.join("device-name", address))


def service_names(uid: str) -> Partition[ServiceName]:
    """A user's names for services."""
    return Partition(Table.BINDINGS, identity.user_holder(uid), prefix=identity.join("device-name", ""))


def user_devices_and_names(uid: str) -> Partition[UserDevice]:
    """A user's entries, then their names for services, as read by one query."""
    return Partition(Table.BINDINGS, identity.user_holder(uid), prefix="device")


class OfferNote(Stored, total=False):
    """A note of an offer to a user, by which an erasure finds it. It may have ended with the binding."""

    device: str
    offer: str
    """Id of the offer."""


def offer_note(uid: str, device: str) -> Key[OfferNote]:
    """Key of a note of an offer."""
    # The item has no `holder`, so it is in no index.
    return Key(Table.BINDINGS, identity.user_holder(uid), identity.join("offer", device))


def offer_notes(uid: str) -> Partition[OfferNote]:
    """Notes of the offers to a user."""
    return Partition(Table.BINDINGS, identity.user_holder(uid), prefix=identity.join("offer", ""))


class NicknameLock(Stored, total=False):
    """A nickname of a customer's active or blocked device (asseco)."""

    device: str
    binding: str


def nickname_lock(customer: str, nickname: str) -> Key[NicknameLock]:
    """Key of a nickname."""
    # The item has no `holder`, so it is in no index.
    return Key(Table.BINDINGS, identity.customer_holder(customer), f"nickname#{identity.folded(nickname)}")


def nickname_locks(customer: str) -> Partition[NicknameLock]:
    """A customer's nicknames."""
    return Partition(Table.BINDINGS, identity.customer_holder(customer), prefix="nickname#")


class Connection(Stored, total=False):
    """A lease: a caller's time-limited connection to a device (remoteit), valid while the binding refers to it."""

    holder: str
    holder_sort: str
    connection: str
    caller: str
    account: str
    generation: int
    assignment: str
    pseudonym: str
    per_user: bool
    address: str
    kind: ServiceKind | None
    """Type of the service."""
    client_ip: str
    label: str
    expires_at: int
    created_at: int


def connection(device: str, uid: str) -> Key[Connection]:
    """Key of a lease."""
    return Key(Table.BINDINGS, device, identity.join("connection", identity.user_holder(uid)))


def connections(device: str) -> Partition[Connection]:
    """A device's leases."""
    return Partition(Table.BINDINGS, device, prefix=connection(device, "").sk)


def connections_of(uid: str) -> Partition[Connection]:
    """A caller's leases, oldest first."""
    return Partition(Table.BINDINGS, identity.caller_holder(uid), BY_HOLDER)


def connections_with_label(label: str) -> Partition[Connection]:
    """Leases with a label."""
    return Partition(Table.BINDINGS, label, BY_LABEL)


class Tunnel(Stored, total=False):
    """A client's session at a lease: where its streams end."""

    holder: str
    """So that the index lists a caller's tunnels."""
    holder_sort: str
    """The session."""
    lease: str
    """Id of the lease."""
    caller: str
    account: str
    per_user: bool
    connection: str
    """API Gateway's id of the client's connection."""
    expires_at: int


def tunnel(device: str, session: str) -> Key[Tunnel]:
    """Key of a tunnel."""
    # A smaller sort key than those of `holders`.
    return Key(Table.BINDINGS, device, f"link#tunnel#{session}")


def tunnels_of(uid: str) -> Partition[Tunnel]:
    """A caller's tunnels."""
    return Partition(Table.BINDINGS, identity.tunnel_holder(uid), BY_HOLDER)


class Frame(Stored, total=False):
    """Part of what a device sends in a stream, or its last signal of a kind, until the relay reads it."""

    data: bytes
    fin: bool
    """True for the last frame."""
    signal: dict[str, Any]
    expires_at: int


def frame(stream: str, number: int) -> Key[Frame]:
    """Key of a frame."""
    return Key(Table.FRAMES, f"stream#{stream}", f"{number:08}")


def signal(stream: str, kind: str) -> Key[Frame]:
    """Key of a signal."""
    # A greater sort key than those of frames.
    return Key(Table.FRAMES, f"stream#{stream}", f"~{kind}")


def frames(stream: str, number: int) -> Partition[Frame]:
    """A stream's frames from a number on, and its signals."""
    first = frame(stream, number)
    return Partition(Table.FRAMES, first.pk, start=first.sk)


class Attempts(Stored, total=False):
    """A day's failed attempts."""

    failures: int
    last_at: int
    bound: int
    bound_at: int
    expires_at: int


def guesses(uid: str) -> Key[Attempts]:
    """Key of a user's guesses and new bindings today."""
    hashed = secrets.derive("BINDING_KEY_SECRET", "guesses", uid).hex()
    return Key(Table.BINDINGS, f"attempts#{hashed}", f"guesses#{clock.today().isoformat()}")


def name_attempts(api: str, scope: str, name: str, source_ip: str) -> Key[Attempts]:
    """Key of today's failed logins with a name."""
    return _login_attempts("attempts", api, scope, identity.folded(name), identity.network(source_ip))


def network_attempts(api: str, scope: str, source_ip: str) -> Key[Attempts]:
    """Key of today's failed logins from a network."""
    return _login_attempts("network", api, scope, identity.network(source_ip))


def _login_attempts(kind: str, *parts: str) -> Key[Attempts]:
    hashed = secrets.derive("DIRECTORY_SECRET", kind, *parts, clock.today().isoformat())
    return Key(Table.BINDINGS, f"attempts#{hashed.hex()}", kind)


class UsedToken(Stored, total=False):
    """A token that was exchanged for new ones (quectel)."""

    used_at: int
    expires_at: int


def used_token(token: str) -> Key[UsedToken]:
    """Key of a used token, by its random id."""
    return Key(Table.BINDINGS, f"token#{token}", "used")


# Hex digits of a network's hash. About 4,000 IPv4 addresses share each of the million values, so it identifies none.
_NETWORK_DIGITS = 5


def key_guesses(kind: str, source_ip: str) -> Key[Attempts]:
    """Key of today's unknown keys from a network."""
    network = secrets.fingerprint(f"{identity.network(source_ip)} {clock.today().isoformat()}")[:_NETWORK_DIGITS]
    return Key(Table.BINDINGS, f"attempts#{kind}#{network}", "keys")


class Act(Stored, total=False):
    """An operator's act, for the change feed. Only the feed reads it, and it expires after 30 days.

    It has no personal data, except in free-text reasons, and the uid in the key of a lifted bar, which an erasure
    deletes.
    """

    did: Did
    by: str
    """ARN of the operator."""
    at: int
    reason: str
    cause: Cause
    """Cause of the end of a binding, share or offer."""
    shares: list[str]
    """Ids of the shares that ended with a binding in multi mode."""
    address: str
    """The service address."""
    kind: str
    """Kind of the deleted item, or of the erased person."""
    id: str
    """Name of the deleted item, by its kind: of a bar, the product."""
    since: int
    """Creation of the deleted device."""
    person: str
    """Pseudonym of an erased person."""
    expires_at: int


def act(device: str, identifier: str) -> Key[Act]:
    """Key of an act on a device."""
    # A smaller sort key than those of `holders`.
    return Key(Table.BINDINGS, device, f"act#{identifier}")


def acts(device: str) -> Partition[Act]:
    """Acts on a device, and those that ended bindings and shares."""
    return Partition(Table.BINDINGS, device, prefix="act#")


def ending(device: str, ended: str) -> Key[Act]:
    """Key of the act that ended a binding, share or offer, by its id, or made an offer."""
    return Key(Table.BINDINGS, device, f"act#unbind#{ended}")


def deletion(key: Key[Any], identifier: str) -> Key[Act]:
    """Key of an act that deleted an item."""
    return Key(Table.BINDINGS, _deletions(key), f"act#{identifier}")


def deletions(key: Key[Any]) -> Partition[Act]:
    """Acts that deleted items with this partition key."""
    return Partition(Table.BINDINGS, _deletions(key))


def _deletions(key: Key[Any]) -> str:
    return identity.join("act", key.table.name.lower(), key.pk)


def erasure(identifier: str) -> Key[Act]:
    """Key of an act that erased a person."""
    return Key(Table.BINDINGS, "act#erased", f"act#{identifier}")


# ── directory: what operators write and requests read ─────────────────────────────────────────────────────────────────


class Limited(Stored, total=False):
    """An item with a token bucket, if the requests that read it are limited."""

    per_second: int
    burst: int
    full_at: int
    """When the bucket is full again, in microseconds."""


class Account(Limited, total=False):
    """A tenant: a company, bank or platform."""

    collection: str
    account: str
    name: str
    enabled: bool
    live_keys: dict[str, dict[str, int]]
    """Expiry of each live API key (milliseconds, 0: never), by kind and id. Rotated keys are under `rotated`."""
    suspensions: int
    parts: int
    """Number of parts of the device list (rufus), if not 1."""
    deleting_at: int
    """Present while an operator deletes it: nothing new can depend on it."""
    created_at: int


def account(name: str) -> Key[Account]:
    """Key of an account."""
    return Key(Table.DIRECTORY, f"account#{name}", "account")


def accounts() -> Partition[Account]:
    """All accounts."""
    return Partition(Table.DIRECTORY, "accounts", BY_LIST)


class ApiKey(Limited, total=False):
    """An API key (rufus) or developer key (remoteit). Only its SHA-256 is stored, as its id."""

    collection: str
    kind: str
    account: str
    account_enabled: bool
    parts: int
    """The account's."""
    grant: str
    unbind: bool
    alias: str
    created_at: int
    expires_at: int
    """In milliseconds."""
    last_used: str
    revoked_at: int
    successor: str
    id: str
    """Only in responses to operators."""


def api_key(hashed: str) -> Key[ApiKey]:
    """Key of an API key."""
    return Key(Table.DIRECTORY, f"key#{hashed}", "key")


def api_keys(account: str) -> Partition[ApiKey]:
    """An account's API keys."""
    return Partition(Table.DIRECTORY, f"keys#{account}", BY_LIST)


class User(Stored, total=False):
    """A person in an account."""

    collection: str
    uid: str
    account: str
    domain: str | None
    role: Role
    home_mode: bool
    customer: str | None
    email: str | None
    only_in_domain: bool
    """The email address is no login name in the account: a user in another user domain has it there."""
    phone: str | None
    """With its country code: + and digits."""
    enabled: bool
    generation: int
    """Incremented to revoke the user's tokens."""
    suspensions: int
    created_at: int
    pseudonym: str
    password: str
    logged_out: dict[str, int]
    """Expiry of each remoteit token that was logged out, by the token's id (seconds)."""
    logged_out_until: int
    """Remoteit tokens that expire no later have been logged out."""


def user(uid: str) -> Key[User]:
    """Key of a user."""
    return Key(Table.DIRECTORY, f"user#{uid}", "user")


def users(account: str) -> Partition[User]:
    """An account's users."""
    return Partition(Table.DIRECTORY, f"users#{account}", BY_LIST)


class LoginName(Stored, total=False):
    """The user of an email address or phone number in a user domain (quectel) or account (remoteit)."""

    collection: str
    """Set in one login name of each user with an email address, so that each user is listed once."""
    uid: str
    account: str


def email_in_domain(domain: str, email: str) -> Key[LoginName]:
    """Key of a name in a domain."""
    return _email("domain", domain, email)


def phone_in_domain(domain: str, phone: str) -> Key[LoginName]:
    """Key of a phone number in a domain."""
    return Key(Table.DIRECTORY, identity.join("phone", domain, phone), "phone")


def email_in_account(account: str, email: str) -> Key[LoginName]:
    """Key of a name in an account."""
    return _email("account", account, email)


def users_with_email(email: str) -> Partition[LoginName]:
    """All accounts' users with an email address."""
    return Partition(Table.DIRECTORY, identity.join("emails", identity.folded(email)), BY_LIST)


def _email(kind: str, scope: str, email: str) -> Key[LoginName]:
    return Key(Table.DIRECTORY, identity.join("email", kind, scope, identity.folded(email)), "email")


class UserDomain(Stored, total=False):
    """An app and its users (quectel)."""

    collection: str
    domain: str
    binders: Binders
    enabled: bool
    sealed_secret: str
    """Encrypted secret with which apps sign logins."""
    deleting_at: int
    """Present while an operator deletes it: nothing new can depend on it."""
    created_at: int


def user_domain(name: str) -> Key[UserDomain]:
    """Key of a user domain."""
    return Key(Table.DIRECTORY, f"domain#{name}", "domain")


def user_domains() -> Partition[UserDomain]:
    """All user domains."""
    return Partition(Table.DIRECTORY, "domains", BY_LIST)


class Product(Stored, total=False):
    """A model line of quectel devices."""

    collection: str
    product_key: str
    mode: int
    name: str
    module_type: str
    domains: list[str] | None
    data_center: str | None
    capabilities: int
    """Capabilities of devices bound without any; if absent, 1."""
    claim_codes: bool
    """True if binding its devices requires their claim codes."""
    claim_version: int
    """Version of the claim codes: with another version, labels that were printed before are invalid. If absent, 1."""
    deleting_at: int
    """Present while an operator deletes it: nothing new can depend on it."""
    created_at: int


def product(product_key: str) -> Key[Product]:
    """Key of a product."""
    return Key(Table.DIRECTORY, f"product#{identity.canonical(product_key)}", "product")


def products() -> Partition[Product]:
    """All products."""
    return Partition(Table.DIRECTORY, "products", BY_LIST)


class Tsl(Stored, total=False):
    """A product's TSL: its devices' properties (quectel). Not in the product, which every bind request reads."""

    compressed: str
    """JSON, compressed with zlib, in base64."""
    created_at: int


def tsl(product_key: str) -> Key[Tsl]:
    """Key of a TSL."""
    return Key(Table.DIRECTORY, product(product_key).pk, "tsl")


class Bar(Stored, total=False):
    """A user who cannot bind devices of a product."""

    collection: str
    product_key: str
    uid: str
    created_at: int


def bar(product_key: str, uid: str) -> Key[Bar]:
    """Key of a bar."""
    return Key(Table.DIRECTORY, identity.join("bars", uid), f"product#{identity.canonical(product_key)}")


def bars(uid: str) -> Partition[Bar]:
    """A user's bars."""
    return Partition(Table.DIRECTORY, bar("", uid).pk)


def bars_from(product_key: str) -> Partition[Bar]:
    """A product's bars."""
    return Partition(Table.DIRECTORY, identity.join("barred", identity.canonical(product_key)), BY_LIST)


class Family(Stored, total=False):
    """A family (quectel's home mode), with the devices that all members see.

    Bindings name it, so a deleted one is kept, empty: its id is not used again.
    """

    collection: str
    fid: str
    owner: str
    members: list[str]
    rooms: list[str]
    common: set[str]
    deleted_at: int
    created_at: int


def family(fid: str) -> Key[Family]:
    """Key of a family."""
    return Key(Table.DIRECTORY, f"family#{fid}", "family")


def families(owner: str) -> Partition[Family]:
    """Families that a user owns."""
    return Partition(Table.DIRECTORY, identity.join("families", owner), BY_LIST)


class Membership(Stored, total=False):
    """A user's present or former membership of a family, or ownership."""

    fid: str


def membership(fid: str, uid: str) -> Key[Membership]:
    """Key of a membership."""
    return Key(Table.DIRECTORY, identity.join("memberships", uid), identity.join("family", fid))


def memberships(uid: str) -> Partition[Membership]:
    """A user's memberships."""
    return Partition(Table.DIRECTORY, membership("", uid).pk)


class ServiceAddress(Stored, total=False):
    """A service address and its device (remoteit)."""

    device: str
    per_user: bool
    assignment: str
    kind: ServiceKind | None
    created_at: int


def service_address(address: str) -> Key[ServiceAddress]:
    """Key of a service address."""
    return Key(Table.DIRECTORY, f"address#{address}", "address")


class IssuedDevice(Stored, total=False):
    """A card or authentication device of a bank's customer (asseco)."""

    collection: str
    """Set only if another customer holds it."""
    device_id: str
    kind: str
    holder_id: str | None
    capabilities: list[str]
    status: str
    nickname: str
    masked_card_number: str | None
    is_primary: bool | None
    card_status: str
    cardholder_name: str | None
    delivery_date: str | None
    activation_date: str | None
    expiration_date: str | None
    card_kind: str | None
    card_brand: str | None
    card_image_url: str | None


def issued_device(customer: str, device_id: str) -> Key[IssuedDevice]:
    """Key of an issued device."""
    return Key(Table.DIRECTORY, identity.customer_holder(customer), f"issued#{identity.canonical(device_id)}")


def issued_devices(customer: str) -> Partition[IssuedDevice]:
    """Devices issued to a customer."""
    return Partition(Table.DIRECTORY, identity.customer_holder(customer), prefix="issued#")


def issued_to_others(holder: str) -> Partition[IssuedDevice]:
    """Devices that this customer holds for others."""
    return Partition(Table.DIRECTORY, identity.join("held", identity.canonical(holder)), BY_LIST)


class Setting(Stored, total=False):
    """A setting that operators change at run time."""

    value: Any


def setting(name: str) -> Key[Setting]:
    """Key of a setting."""
    return Key(Table.DIRECTORY, f"setting#{name}", "setting")


class StorageFormat(Stored, total=False):
    """Version of the format of all items."""

    version: int


STORAGE_FORMAT: Key[StorageFormat] = Key(Table.DIRECTORY, "format", "format")


# ── webhooks, in the directory ────────────────────────────────────────────────────────────────────────────────────────


class WebhookSecret(TypedDict, total=False):
    """A secret with which deliveries are signed."""

    sealed: str
    """Encrypted."""
    until: int
    """End of its use, once it was replaced (seconds)."""


class Webhook(Stored, total=False):
    """A subscriber's URL, to which events are delivered."""

    id: str
    url: str
    types: dict[str, int]
    """Types of events to deliver, or `*` for all, each with the time since which they are."""
    enabled: bool
    enabled_at: int
    disabled_reason: str
    secrets: list[WebhookSecret]
    """The current one first."""
    rotated_at: int
    created_at: int


def webhook(webhook: str) -> Key[Webhook]:
    """Key of a webhook."""
    return Key(Table.DIRECTORY, "webhooks", webhook)


def webhooks() -> Partition[Webhook]:
    """All webhooks."""
    return Partition(Table.DIRECTORY, "webhooks")


# ── history: what happened, append-only, and its delivery ─────────────────────────────────────────────────────────────

LOG_SHARDS = 16
"""Parts of each day's log. Each takes 1,000 events per second."""

SHARDS = 8
"""Parts of what many events write: an operator's mentions, due deliveries, a webhook's delivery log."""


class Event(Stored, total=False):
    """An event in the chain of a device, account, product … Each has the hash of the one before."""

    id: str
    type: str
    at: int
    seq: int
    """Number in the chain, from 1."""
    previous: str
    hash: str
    data: dict[str, Any]
    chain: str
    collection: str
    """Day of recording and shard, for the log."""
    time: str
    """Time of recording and id."""
    expires_at: int


def event(chain: str, seq: int) -> Key[Event]:
    """Key of an event."""
    return Key(Table.HISTORY, f"chain#{chain}", f"{seq:012}")


def events(chain: str, seq: int = 0) -> Partition[Event]:
    """A chain's events from a number on."""
    first = event(chain, seq)
    return Partition(Table.HISTORY, first.pk, start=first.sk)


def log(day: str, shard: int, start: str = "") -> Partition[Event]:
    """Events recorded on a day (`2026-12-01`), from a `time` on."""
    return Partition(Table.HISTORY, log_shard(day, shard), BY_TIME, start=start or None)


def recorded_at(event: Event) -> int:
    """Return the time at which an event was recorded (milliseconds)."""
    return int(event["time"].partition("#")[0])


def log_shard(day: str, shard: int) -> str:
    """Return the `collection` of a part of a day's log."""
    return f"log#{day}#{shard:02}"


def shard(name: str, shards: int) -> int:
    """Return the shard of a chain."""
    return int(secrets.fingerprint(name)[:8], 16) % shards


class Reference(Stored, total=False):
    """A reference to an event: by its id, a person or an operator."""

    chain: str
    seq: int
    source: str
    """By an event's id: the stream's id of the change that was recorded."""
    expires_at: int


def recorded(event: str) -> Key[Reference]:
    """Key of an event's id: no event is recorded twice."""
    return Key(Table.HISTORY, f"event#{event}", "event")


def person_mention(pseudonym: str, at: int, event: str) -> Key[Reference]:
    """Key of a reference to an event that concerns a person."""
    return Key(Table.HISTORY, f"about#person#{pseudonym}", f"{at:013}#{event}")


def person_mentions(pseudonym: str) -> Partition[Reference]:
    """Events that concern a person, oldest first."""
    return Partition(Table.HISTORY, person_mention(pseudonym, 0, "").pk)


def operator_mention(operator: str, chain: str, at: int, event: str) -> Key[Reference]:
    """Key of a reference to an operator's event."""
    return Key(Table.HISTORY, f"about#operator#{operator}#{shard(chain, SHARDS)}", f"{at:013}#{event}")


def operator_mentions(operator: str, shard: int, since: int = 0) -> Partition[Reference]:
    """Part of an operator's events since a time (milliseconds), oldest first."""
    return Partition(Table.HISTORY, f"about#operator#{operator}#{shard}", start=f"{since:013}")


class Person(Stored, total=False):
    """A person's pseudonym in events. Erasing the person deletes it, so that the events are anonymous."""

    pseudonym: str
    created_at: int
    erased_at: int
    """Changes until then that are recorded later give no pseudonym."""
    expires_at: int


def person(holder: str) -> Key[Person]:
    """Key of a person, given as a holder."""
    return Key(Table.HISTORY, f"person#{secrets.derive('DIRECTORY_SECRET', 'person', holder).hex()}", "person")


class Unrecorded(Stored, total=False):
    """A change from which no event could be made. Operators can try again."""

    record: str
    """Stream record, as JSON."""
    error: str
    expires_at: int


def unrecorded(at: int, record: str) -> Key[Unrecorded]:
    """Key of a change, by its time and the id of its stream record."""
    return Key(Table.HISTORY, "unrecorded", f"{at:013}#{record}")


def all_unrecorded() -> Partition[Unrecorded]:
    """All such changes, oldest first."""
    return Partition(Table.HISTORY, "unrecorded")


class Cursor(Stored, total=False):
    """The state of the delivery of a chain's events to a webhook."""

    webhook: str
    chain: str
    next: int
    """Number of the next event to deliver. Absent before the first."""
    wanted: int
    """Number of the last event to deliver."""
    again: set[str]
    """Numbers of earlier events to deliver first, again."""
    attempts: int
    """Failed attempts to deliver the event that is next."""
    failing_since: int
    """Time of the first failed attempt since the last success."""
    lock: str
    """Id of the delivery under way."""
    collection: str
    """Present while something is to be delivered."""
    time: str
    """Time of the next attempt, or end of the lock."""
    expires_at: int


def cursor(webhook: str, chain: str) -> Key[Cursor]:
    """Key of a cursor."""
    return Key(Table.HISTORY, f"cursor#{webhook}#{chain}", "cursor")


def due_shard(shard: int) -> str:
    """Return the `collection` of a part of what is due."""
    return f"due#{shard}"


def parked_collection(webhook: str) -> str:
    """Return the `collection` of the cursors of a disabled webhook."""
    return f"parked#{webhook}"


def parked(webhook: str) -> Partition[Cursor]:
    """Cursors of a disabled webhook with something to deliver."""
    return Partition(Table.HISTORY, parked_collection(webhook), BY_TIME)


def due(shard: int) -> Partition[Cursor]:
    """Part of the cursors with something to deliver, the earliest due first."""
    return Partition(Table.HISTORY, due_shard(shard), BY_TIME)


class DeadLetter(Stored, total=False):
    """An event that a webhook did not accept in time. Expires with the event."""

    event: str
    type: str
    chain: str
    seq: int
    at: int
    status: int | None
    """HTTP status of the last attempt, or None without a response."""
    error: str
    expires_at: int


def dead(webhook: str, at: int, event: str) -> Key[DeadLetter]:
    """Key of an event that a webhook did not accept in time."""
    return Key(Table.HISTORY, f"dead#{webhook}", f"{at:013}#{event}")


def all_dead(webhook: str) -> Partition[DeadLetter]:
    """Events that a webhook did not accept in time, oldest first."""
    return Partition(Table.HISTORY, f"dead#{webhook}")


class Delivery(Stored, total=False):
    """An attempt to deliver an event."""

    event: str
    type: str
    chain: str
    at: int
    attempt: int
    status: int | None
    """HTTP status, or None without a response."""
    error: str
    milliseconds: int
    expires_at: int


_END_OF_TIME = 10**13 - 1
"""Largest time in a sort key."""


def delivery(webhook: str, chain: str, at: int, event: str) -> Key[Delivery]:
    """Key of an attempt. Later attempts have smaller sort keys."""
    return Key(Table.HISTORY, f"deliveries#{webhook}#{shard(chain, SHARDS)}", f"{_END_OF_TIME - at:013}#{event}")


def deliveries(webhook: str, shard: int, start: str | None = None) -> Partition[Delivery]:
    """Part of a webhook's attempts from a sort key on, newest first."""
    return Partition(Table.HISTORY, f"deliveries#{webhook}#{shard}", start=start)


# ── lists of devices, which the change feed keeps ─────────────────────────────────────────────────────────────────────

COUNT_SHARDS = 16
"""Parts of a scope's counts. Writes of a part exclude each other, and all parts are read together."""

State = Literal["bound", "unbound", "never_seen", "online", "banned", "disabled", "inactive", "lost", "retired"]
"""State of a device in the lists. A device is bound, unbound or never seen, and can be in any of the others."""


class Listing(Stored, total=False):
    """A device's places in the lists, as of the last event in its chain."""

    scope: str
    """A product (quectel), an account (rufus), or one of the other APIs."""
    serial: str
    listed_at: int
    """Time of registration."""
    bindings: int
    states: dict[State, int]
    """Since when the device is in each of its states."""


def listing(device: str) -> Key[Listing]:
    """Key of a device's listing."""
    return Key(Table.HISTORY, f"listing#{device}", "listing")


class ListEntry(Stored, total=False):
    """A device in a list."""

    device: str


def list_entry(scope: str, state: State | None, since: int, device: str) -> Key[ListEntry]:
    """Key of a device in the list of a scope's devices in a state, or of all, by the time since when."""
    pk = _list_shard(scope, state, shard(device, SHARDS))
    return Key(Table.HISTORY, pk, f"{since:013}#{_short(device)}")


def list_entries(scope: str, state: State | None, shard: int, start: str) -> Partition[ListEntry]:
    """Part of such a list, from a sort key on."""
    return Partition(Table.HISTORY, _list_shard(scope, state, shard), start=start)


def _list_shard(scope: str, state: State | None, shard: int) -> str:
    return f"devices#{scope}#{state or 'all'}#{shard}"


def _short(device: str) -> str:
    # A sort key has at most 1,024 bytes.
    return secrets.fingerprint(device)[:32]


SERIAL_START = 3
"""Characters of a serial number that its beginning must have to be found."""
_SERIAL_LIMIT = 64


def serial_entry(serial: str, device: str) -> Key[ListEntry]:
    """Key of a device in the list of serial numbers, in any case."""
    text = _serial(serial)
    return Key(Table.HISTORY, f"serial#{text[:SERIAL_START]}", f"{text[:_SERIAL_LIMIT]}#{_short(device)}")


def serials_from(start: str) -> Partition[ListEntry]:
    """Devices whose serial numbers begin with a text of `SERIAL_START` characters or more, in any case."""
    text = _serial(start)
    return Partition(Table.HISTORY, f"serial#{text[:SERIAL_START]}", prefix=text[:_SERIAL_LIMIT])


def _serial(serial: str) -> str:
    return identity.folded(serial).replace("%", "%25").replace("#", "%23")


class Counts(Stored, total=False):
    """Part of the number of a scope's devices, in all and in each state."""

    all: int
    bound: int
    unbound: int
    never_seen: int
    online: int
    banned: int
    disabled: int
    inactive: int
    lost: int
    retired: int
    last_change: int
    """Time of a change that was counted lately."""


def counts(scope: str, part: int) -> Key[Counts]:
    """Key of a part of a scope's counts."""
    return Key(Table.HISTORY, f"counts#{scope}#{part:02}", "counts")


class DayCounts(Stored, total=False):
    """Part of the number of bindings of a scope's devices that began and ended on a day."""

    began: int
    ended: int
    expires_at: int


def day_counts(scope: str, part: int, day: str) -> Key[DayCounts]:
    """Key of a part of a day's counts (`2026-12-01`)."""
    return Key(Table.HISTORY, f"counts#{scope}#{part:02}", f"day#{day}")


class Scope(Stored, total=False):
    """A scope that has lists."""


def scope(name: str) -> Key[Scope]:
    """Key of a scope."""
    return Key(Table.HISTORY, "scopes", name)


def scopes(start: str | None) -> Partition[Scope]:
    """All scopes, from a name on."""
    return Partition(Table.HISTORY, "scopes", start=start)


class FeedPosition(Stored, total=False):
    """The last change of its registry that a local server has read."""

    position: int


FEED_POSITION: Key[FeedPosition] = Key(Table.HISTORY, "feed", "position")


# ── the doctor ────────────────────────────────────────────────────────────────────────────────────────────────────────


class DoctorRun(Stored, total=False):
    """A run of the doctor, or its test item in another table. Deleted at its end."""

    entered: list[list[Any]]
    """Table, pk and sk of all items that the run may create."""
    created_at: int


def doctor_run(run: str) -> Key[DoctorRun]:
    """Key of a run."""
    return Key(Table.DIRECTORY, "doctor", run)


def doctor_runs() -> Partition[DoctorRun]:
    """Unfinished runs."""
    return Partition(Table.DIRECTORY, "doctor")


def doctor_test_item(table: Table, run: str) -> Key[DoctorRun]:
    """Key of a test item."""
    return Key(table, f"doctor-{run}", None if table is Table.DEVICES else "doctor")
