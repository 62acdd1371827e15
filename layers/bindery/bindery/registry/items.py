"""The data model: every kind of item in the three tables, its attributes and its key. See docs/data-model.md.

Keys are built and attributes are named only here. Times are milliseconds since the Unix epoch, except `expires_at`,
`accepting_until`, `offered_until` and the values in `shares` and `leases`, which are seconds.
"""

from typing import Any, TypedDict

from bindery.aws.dynamodb import Index, Key, Partition, T, Table
from bindery.core import clock
from bindery.registry import identity
from bindery.security import secrets

BY_SERIAL = Index("by_serial", "serial", "pk")
"""Devices by serial number, for operators. Projects keys only."""

BY_HOLDER = Index("by_holder", "holder", "holder_sort")
"""Bindings and leases by holder, oldest first. Projects everything: lists of devices are answered from it alone."""

BY_PROXY = Index("by_proxy", "proxy")
"""Leases by proxy label. Projects keys only: a lease is read from the table before it admits a client."""

BY_LIST = Index("by_list", "collection", "pk")
"""Directory items that operators list. Projects everything. Items without `collection` are in no list."""


class Stored(TypedDict, total=False):
    """Attributes of every item. An operator's change sets `changed_by` and `changed_at`."""

    pk: str
    sk: str
    changed_by: str
    changed_at: int


def key_of(table: Table, item: T) -> Key[T]:
    """Key of an item that was read from a table."""
    return Key(table, item["pk"], item.get("sk"))


# ── devices: what exists ──────────────────────────────────────────────────────────────────────────────────────────────


class Device(Stored, total=False):
    """A device: identity, manufacturing facts, ban, activity and service address, whoever holds it."""

    dialect: str
    created_at: int
    banned_at: int
    ban_reason: str
    banned_by: str | None
    unbanned_at: int
    unbanned_by: str | None
    unbound_at: int
    unbind_reason: str
    unbound_by: str | None
    inactive: bool
    """Present while an operator refuses connections to the device."""
    address: str
    assignment: str
    """Id of the assignment of the service address; leases name it."""
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
    """Key of a device, by its canonical identity (`bindery.registry.identity`)."""
    return Key(Table.DEVICES, identifier)


def devices_with_serial(serial: str) -> Partition[Device]:
    """The devices that have a serial number, of any product or company."""
    return Partition(Table.DEVICES, identity.canonical(serial), BY_SERIAL)


# ── bindings: who holds what ──────────────────────────────────────────────────────────────────────────────────────────


class Lease(TypedDict):
    """A caller's live lease as a binding names it."""

    id: str
    until: int


class Binding(Stored, total=False):
    """Who holds a device. Its id (`binding`) is random: whatever must end with the binding names it."""

    holder: str
    holder_sort: str
    """API and time of binding, by which a holder's devices are listed."""
    binding: str
    bound_at: int
    leases: dict[str, Lease]
    """The one live lease of each caller, by the caller's pseudonym."""
    # rufus
    model: str
    serial: str
    alias: str
    firmware: str
    type: str
    # quectel
    kind: str
    """In multi mode: `binding`, or `share` for an accepted share."""
    device_key: str
    fid: str | None
    common: bool
    shares: dict[str, int]
    """The second at which each user's share ends, by uid. Not in multi mode."""
    share: str
    by: str
    """Uid of the user who shares the device."""
    expires_at: int


class Registration(Binding, total=False):
    """A bank customer's device (asseco). It stays visible to its last customer after it was unregistered."""

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
    """Key of the one binding of a device in an exclusive mode. Sole ownership is a condition on this item."""
    return Key(Table.BINDINGS, device, "owner")


def registration(device: str) -> Key[Registration]:
    """Key of the registration of a bank customer's device: its `owner` item."""
    return Key(Table.BINDINGS, device, "owner")


def user_binding(device: str, uid: str) -> Key[Binding]:
    """Key of one user's binding, or accepted share, of a device in multi mode."""
    return Key(Table.BINDINGS, device, identity.user_holder(uid))


def user_bindings(device: str) -> Partition[Binding]:
    """The bindings and shares of a device in multi mode."""
    return Partition(Table.BINDINGS, device, prefix=identity.user_holder(""))


def holders(device: str) -> Partition[Binding]:
    """The owner of a device, or its bindings and shares in multi mode. Leases have smaller sort keys."""
    return Partition(Table.BINDINGS, device, start=owner(device).sk)


def held_by(holder: str, dialect: str | None = None) -> Partition[Binding]:
    """The bindings of a holder, oldest first, optionally only those of one API."""
    return Partition(Table.BINDINGS, holder, BY_HOLDER, None if dialect is None else f"{dialect}#")


def registrations(customer: str) -> Partition[Registration]:
    """The registrations of a bank's customer, oldest first."""
    return Partition(Table.BINDINGS, identity.customer_holder(customer), BY_HOLDER, "asseco#")


class UserDevice(Stored, total=False):
    """What a quectel user holds of a device: a binding or an accepted share, named by product key and device key.

    It is written and removed in the same transactions as the binding or share that it stands for.
    """

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
    series: str
    """The share codes of one series are valid together; a new series ends them."""
    shares: dict[str, int]
    """The second at which each user's share ends, by uid."""
    offered_until: int
    # an accepted share
    share: str
    by: str
    generation: int
    domain: str | None
    accepting_until: int
    expires_at: int


def user_device(uid: str, product_key: str, device_key: str) -> Key[UserDevice]:
    """Key of what a user holds of a device. It has no `holder`, so it is in no index."""
    place = identity.join("device", identity.canonical(product_key), device_key)
    return Key(Table.BINDINGS, identity.user_holder(uid), place)


def user_devices(uid: str) -> Partition[UserDevice]:
    """Everything that a user holds."""
    return Partition(Table.BINDINGS, identity.user_holder(uid), prefix=identity.join("device", ""))


class NicknameLock(Stored, total=False):
    """A nickname in use by an active or blocked device of a bank customer (asseco)."""

    device: str
    binding: str


def nickname_lock(customer: str, nickname: str) -> Key[NicknameLock]:
    """Key of a customer's nickname. It has no `holder`, so it is in no index."""
    return Key(Table.BINDINGS, identity.customer_holder(customer), f"nickname#{identity.folded(nickname)}")


def nickname_locks(customer: str) -> Partition[NicknameLock]:
    """The nicknames in use by a customer."""
    return Partition(Table.BINDINGS, identity.customer_holder(customer), prefix="nickname#")


class Connection(Stored, total=False):
    """A lease: permission of one caller to reach a device for a time (remoteit). Valid while the binding names it."""

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
    client_ip: str
    proxy: str
    expires_at: int
    created_at: int


def connection(device: str, uid: str) -> Key[Connection]:
    """Key of a user's lease of a device: one for each caller."""
    return Key(Table.BINDINGS, device, identity.join("connection", identity.user_holder(uid)))


def connections(device: str) -> Partition[Connection]:
    """The leases of a device, by caller."""
    return Partition(Table.BINDINGS, device, prefix=connection(device, "").sk)


def connections_of(uid: str) -> Partition[Connection]:
    """The leases of a caller, oldest first."""
    return Partition(Table.BINDINGS, identity.caller_holder(uid), BY_HOLDER)


def connections_with_label(proxy: str) -> Partition[Connection]:
    """The leases with a proxy label: hardly ever more than one."""
    return Partition(Table.BINDINGS, proxy, BY_PROXY)


class Attempts(Stored, total=False):
    """Failed attempts of a day, removed by time to live. The key is a hash that does not reveal whose they are."""

    failures: int
    last_at: int
    bound: int
    bound_at: int
    expires_at: int


def guesses(uid: str) -> Key[Attempts]:
    """Key of a quectel user's failed guesses and new bindings of today. An erasure does not remove it."""
    hashed = secrets.derive("BINDING_KEY_SECRET", "guesses", uid).hex()
    return Key(Table.BINDINGS, f"attempts#{hashed}", f"guesses#{clock.today().isoformat()}")


def name_attempts(api: str, scope: str, name: str, source_ip: str) -> Key[Attempts]:
    """Key of today's failed logins of a name from the network of an IP address."""
    return _login_attempts("attempts", api, scope, identity.folded(name), identity.network(source_ip))


def network_attempts(api: str, scope: str, source_ip: str) -> Key[Attempts]:
    """Key of today's failed logins of all names from the network of an IP address."""
    return _login_attempts("network", api, scope, identity.network(source_ip))


def _login_attempts(kind: str, *parts: str) -> Key[Attempts]:
    hashed = secrets.derive("DIRECTORY_SECRET", kind, *parts, clock.today().isoformat())
    return Key(Table.BINDINGS, f"attempts#{hashed.hex()}", kind)


_NETWORK_DIGITS = 5
"""Hex digits of a network's hash: a million counts, each of some 4,000 IPv4 addresses, so that none can be named."""


def key_guesses(kind: str, source_ip: str) -> Key[Attempts]:
    """Key of today's unknown API keys of one kind from the network of an IP address."""
    network = secrets.fingerprint(f"{identity.network(source_ip)} {clock.today().isoformat()}")[:_NETWORK_DIGITS]
    return Key(Table.BINDINGS, f"attempts#{kind}#{network}", "keys")


# ── directory: what operators write and requests read ─────────────────────────────────────────────────────────────────


class Account(Stored, total=False):
    """A tenant: a company, a bank or a platform."""

    collection: str
    account: str
    name: str
    enabled: bool
    live_keys: dict[str, dict[str, int]]
    """When each live API key expires (milliseconds, 0: never), by kind and id; rotated ones under `rotated`."""
    suspensions: int
    created_at: int


def account(name: str) -> Key[Account]:
    """Key of an account."""
    return Key(Table.DIRECTORY, f"account#{name}", "account")


def accounts() -> Partition[Account]:
    """All accounts."""
    return Partition(Table.DIRECTORY, "accounts", BY_LIST)


class ApiKey(Stored, total=False):
    """An API key (rufus) or developer key (remoteit). Its id is its SHA-256; the key itself is not stored."""

    collection: str
    kind: str
    account: str
    account_enabled: bool
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
    """Only in what operators read."""


def api_key(hashed: str) -> Key[ApiKey]:
    """Key of an API key, by its id."""
    return Key(Table.DIRECTORY, f"key#{hashed}", "key")


def api_keys(account: str) -> Partition[ApiKey]:
    """The API keys of an account, by id."""
    return Partition(Table.DIRECTORY, f"keys#{account}", BY_LIST)


class User(Stored, total=False):
    """A person in an account, who acts by session tokens."""

    collection: str
    uid: str
    account: str
    domain: str | None
    role: Any
    home_mode: bool
    customer: str | None
    email: str | None
    enabled: bool
    generation: int
    """Raised to revoke the user's tokens."""
    suspensions: int
    created_at: int
    pseudonym: str
    password: str


def user(uid: str) -> Key[User]:
    """Key of a user."""
    return Key(Table.DIRECTORY, f"user#{uid}", "user")


def users(account: str) -> Partition[User]:
    """The users of an account, by uid."""
    return Partition(Table.DIRECTORY, f"users#{account}", BY_LIST)


class EmailName(Stored, total=False):
    """Whose an email address is, in a user domain (quectel) or in an account (remoteit)."""

    uid: str
    account: str


def email_in_domain(domain: str, email: str) -> Key[EmailName]:
    """Key of an email address in a user domain."""
    return _email("domain", domain, email)


def email_in_account(account: str, email: str) -> Key[EmailName]:
    """Key of an email address in an account."""
    return _email("account", account, email)


def _email(kind: str, scope: str, email: str) -> Key[EmailName]:
    return Key(Table.DIRECTORY, identity.join("email", kind, scope, identity.folded(email)), "email")


class UserDomain(Stored, total=False):
    """An app that users belong to (quectel)."""

    collection: str
    domain: str
    binders: Any
    enabled: bool
    sealed_secret: str
    """The domain's secret, encrypted: apps sign logins with it."""
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
    created_at: int


def product(product_key: str) -> Key[Product]:
    """Key of a product."""
    return Key(Table.DIRECTORY, f"product#{identity.canonical(product_key)}", "product")


def products() -> Partition[Product]:
    """All products."""
    return Partition(Table.DIRECTORY, "products", BY_LIST)


class Bar(Stored, total=False):
    """A user who may not bind devices of a product."""

    collection: str
    product_key: str
    uid: str
    created_at: int


def bar(product_key: str, uid: str) -> Key[Bar]:
    """Key of the bar of a user from a product. The bars of a user are one partition."""
    return Key(Table.DIRECTORY, identity.join("bars", uid), f"product#{identity.canonical(product_key)}")


def bars(uid: str) -> Partition[Bar]:
    """The bars of a user."""
    return Partition(Table.DIRECTORY, bar("", uid).pk)


def bars_from(product_key: str) -> Partition[Bar]:
    """The bars of all users from a product."""
    return Partition(Table.DIRECTORY, identity.join("barred", identity.canonical(product_key)), BY_LIST)


class Family(Stored, total=False):
    """A family (quectel's home mode): members, rooms, and the devices that all of them see. Never deleted."""

    collection: str
    fid: str
    owner: str
    members: list[str]
    rooms: list[str]
    common: set[str]
    created_at: int


def family(fid: str) -> Key[Family]:
    """Key of a family."""
    return Key(Table.DIRECTORY, f"family#{fid}", "family")


def families(owner: str) -> Partition[Family]:
    """The families that a user owns."""
    return Partition(Table.DIRECTORY, identity.join("families", owner), BY_LIST)


class Membership(Stored, total=False):
    """A user owns, belongs to or once belonged to a family."""

    fid: str


def membership(fid: str, uid: str) -> Key[Membership]:
    """Key of the note that a user belongs to a family. The notes of a user are one partition."""
    return Key(Table.DIRECTORY, identity.join("memberships", uid), identity.join("family", fid))


def memberships(uid: str) -> Partition[Membership]:
    """The notes of a user."""
    return Partition(Table.DIRECTORY, membership("", uid).pk)


class ServiceAddress(Stored, total=False):
    """A service address, and the device that operators assigned it to (remoteit)."""

    device: str
    per_user: bool
    assignment: str
    created_at: int


def service_address(address: str) -> Key[ServiceAddress]:
    """Key of a service address."""
    return Key(Table.DIRECTORY, f"address#{address}", "address")


class IssuedDevice(Stored, total=False):
    """A card or authentication device that a bank issued to a customer (asseco)."""

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
    """Key of a device issued to a customer."""
    return Key(Table.DIRECTORY, identity.customer_holder(customer), f"issued#{identity.canonical(device_id)}")


def issued_devices(customer: str) -> Partition[IssuedDevice]:
    """The devices issued to a customer, by id."""
    return Partition(Table.DIRECTORY, identity.customer_holder(customer), prefix="issued#")


def issued_to_others(holder: str) -> Partition[IssuedDevice]:
    """The devices issued to other customers that name this customer as their holder."""
    return Partition(Table.DIRECTORY, identity.join("held", identity.canonical(holder)), BY_LIST)


class Setting(Stored, total=False):
    """A setting that operators change while the installation runs."""

    value: Any


def setting(name: str) -> Key[Setting]:
    """Key of a setting."""
    return Key(Table.DIRECTORY, f"setting#{name}", "setting")


class StorageFormat(Stored, total=False):
    """Version of the format of all items."""

    version: int


STORAGE_FORMAT: Key[StorageFormat] = Key(Table.DIRECTORY, "format", "format")


# ── the doctor ────────────────────────────────────────────────────────────────────────────────────────────────────────


class DoctorRun(Stored, total=False):
    """A run of the doctor, and in the other tables its test item. Removed at the end of the run."""

    entered: list[list[Any]]
    """Table, pk and sk of every item that the run may create."""
    created_at: int


def doctor_run(run: str) -> Key[DoctorRun]:
    """Key of a run of the doctor."""
    return Key(Table.DIRECTORY, "doctor", run)


def doctor_runs() -> Partition[DoctorRun]:
    """The runs of the doctor that have not removed their items."""
    return Partition(Table.DIRECTORY, "doctor")


def doctor_test_item(table: Table, run: str) -> Key[DoctorRun]:
    """Key of the item by which a run tests a table other than the directory."""
    return Key(table, f"doctor-{run}", None if table is Table.DEVICES else "doctor")
