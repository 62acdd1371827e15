"""Health checks of an installation, with a round trip of each API.

Round trips run the rules in this process, so they test neither routes nor permissions. `bindery doctor` tests the
device link, with a device and a connection that it asks for. A run first stores the keys of all items that it may
create. It, or else the next run, removes the items.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from secrets import token_bytes, token_hex
from typing import Any

from bindery.asseco import owned_devices
from bindery.aws import clients, dynamodb
from bindery.aws.dynamodb import Index, Key, Partition, Table
from bindery.connectivity import device_credentials, leases, service_addresses
from bindery.connectivity.service_addresses import Assigned
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, api_keys, products, sessions, storage_format, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import binding, user_domains
from bindery.registry import devices, identity, items
from bindery.rufus import company_devices
from bindery.security import oidc, secrets
from bindery.vodlix import video_devices

SECRETS = (
    "DEVICE_ID_SECRET",
    "BINDING_KEY_SECRET",
    "CLAIM_SECRET",
    "QUECTEL_SESSION_SECRET",
    "REMOTEIT_SESSION_SECRET",
    "DIRECTORY_SECRET",
)

SECRET_BYTES = 32
"""HMAC-SHA-256 gains nothing from more."""

INDEXES: Mapping[str, tuple[Table, str]] = {
    items.BY_SERIAL.name: (Table.DEVICES, items.BY_SERIAL.partition),
    items.BY_HOLDER.name: (Table.BINDINGS, items.BY_HOLDER.partition),
    items.BY_LABEL.name: (Table.BINDINGS, items.BY_LABEL.partition),
    items.BY_CREDENTIAL.name: (Table.BINDINGS, items.BY_CREDENTIAL.partition),
    items.BY_LIST.name: (Table.DIRECTORY, items.BY_LIST.partition),
    items.BY_TIME.name: (Table.HISTORY, items.BY_TIME.partition),
}

CLOCK_LIMIT = 5
"""Seconds."""

LEFT_BEHIND = 60
"""Seconds within which a run ends."""

INDEX_LOOKUPS = 50
"""An index follows its table within milliseconds."""

NOT_CONFIGURED = "https://issuer.invalid"
"""The template's default."""

_DOCTOR = "doctor"
_CLIENT = "192.0.2.1"
_LIFETIME = 60


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a check. `detail` contains nothing secret."""

    name: str
    healthy: bool
    detail: str


class _Unhealthy(Exception):
    """A check failed."""


def run() -> list[Check]:
    """Run all checks, without round trips if a table cannot be used."""
    secrets.clear_cache()
    names = _Names()
    checks = [_check(name, check) for name, check in _parts(names)]
    round_trips: Mapping[str, Callable[[_Names], str]] = {
        "rufus": _rufus,
        "quectel": _quectel,
        "asseco": _asseco,
        "remoteit": _remoteit,
        "vodlix": _vodlix,
    }
    if all(check.healthy for check in checks if check.name.startswith("table ")):
        checks.append(_check("leftovers", _remove_leftovers))
        checks.extend(_check(name, partial(round_trip, names)) for name, round_trip in round_trips.items())
    else:
        checks.extend(Check(name, False, "not tried: a table cannot be used") for name in round_trips)
    checks.append(_check("cleanup", names.clean_up))
    return checks


def _check(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except _Unhealthy as unhealthy:
        return Check(name, False, str(unhealthy))
    except Refused as refused:
        return Check(name, False, f"refused: {refused.reason}{_cause(refused.__cause__)}")
    # Report only the name of an error: its text may contain a secret.
    except Exception as error:
        return Check(name, False, f"failed: {clients.code(error)}")


def _cause(cause: BaseException | None) -> str:
    return "" if cause is None else f" ({clients.code(cause)})"


def _parts(names: "_Names") -> Iterator[tuple[str, Callable[[], str]]]:
    # The journal first: a later run would not find items that were created before it.
    for table, key in {Table.DIRECTORY: names.journal, **names.test_items}.items():
        yield f"table {table.name.lower()}", partial(_table, key, names)
    for index, (table, attribute) in INDEXES.items():
        yield f"index {index}", partial(_index, index, table, attribute)
    for setting in SECRETS:
        yield f"secret {setting.lower().removesuffix('_secret')}", partial(_secret, setting)
    yield "format", _format
    yield "issuer", _issuer
    yield "clock", _clock
    yield "client", _client


def _table(key: Key[items.DoctorRun], names: "_Names") -> str:
    if key != names.journal and dynamodb.get(names.journal) is None:
        raise _Unhealthy("not tried: the journal could not be written")
    dynamodb.write(key.put(names.entry() if key == names.journal else {"created_at": clock.now()}))
    if dynamodb.get(key) is None:
        raise _Unhealthy("an item that was written is not there")
    return "readable and writable"


def _index(index: str, table: Table, attribute: str) -> str:
    next(dynamodb.query(Partition(table, _DOCTOR, Index(index, attribute))), None)
    return "answers"


def _secret(setting: str) -> str:
    if len(secrets.secret(setting)) < SECRET_BYTES:
        raise _Unhealthy(f"shorter than {SECRET_BYTES} bytes")
    return "readable, and long enough"


def _format() -> str:
    if (found := storage_format.record()) != storage_format.CURRENT:
        raise _Unhealthy(
            f"the tables have format {found}, this release needs format {storage_format.CURRENT}: deploy the release"
            " that wrote them"
        )
    return str(found)


def _issuer() -> str:
    if env.read("ISSUER") == NOT_CONFIGURED:
        return "not configured: every asseco request is answered 401"
    if not (published := oidc.published()):
        raise _Unhealthy(f"publishes no key for {' or '.join(oidc.ALGORITHMS)}")
    return f"reachable, keys: {len(published)}"


def _clock() -> str:
    apart = abs(clock.seconds() - dynamodb.server_seconds())
    if apart > CLOCK_LIMIT:
        raise _Unhealthy(f"{apart} s apart from DynamoDB's")
    return f"within {CLOCK_LIMIT} s of DynamoDB's"


def _client() -> str:
    """Report how long a new client's first call and its next one take."""
    client = clients.create("dynamodb")
    times: list[int] = []
    try:
        for _ in range(2):
            began = clock.now()
            dynamodb.server_seconds(client)
            times.append(clock.now() - began)
    finally:
        client.close()
    first, warm = times
    return f"{env.read('AWS_CLIENT')}: first call {first} ms, then {warm} ms"


@dataclass(frozen=True, slots=True)
class _Run:
    run: str = field(default_factory=lambda: token_hex(16))
    address: str = field(default_factory=lambda: ":".join(f"{byte:02X}" for byte in token_bytes(8)))

    def of(self, dialect: str) -> str:
        """Return the name of all that a round trip creates."""
        return f"{_DOCTOR}-{self.run}-{dialect}"

    def company_device(self, dialect: str) -> str:
        name = self.of(dialect)
        return identity.company_device(name, name, name)

    def keys(self) -> list[Key[Any]]:
        """Return the keys of all items that a run may create."""
        raise NotImplementedError

    @property
    def journal(self) -> Key[items.DoctorRun]:
        """Key of the item that lists all others."""
        return items.doctor_run(self.run)

    def entry(self) -> items.DoctorRun:
        return {"entered": [[key.table, key.pk, key.sk] for key in self.keys()], "created_at": clock.now()}


@dataclass(frozen=True, slots=True)
class _Names(_Run):
    api_key: str = field(default_factory=lambda: f"ror-{token_hex(20)}")

    def keys(self) -> list[Key[Any]]:
        bound = [
            self.company_device("rufus"),
            identity.manufactured_device(self.of("quectel"), self.of("quectel")),
            identity.customer_device(self.of("asseco")),
            self.company_device("remoteit"),
        ]
        return [
            *self.test_items.values(),
            *(items.device(device) for device in bound),
            *(items.owner(device) for device in bound),
            items.device(identity.video_device(self.of("vodlix"))),
            *(items.account(self.of(dialect)) for dialect in ("rufus", "quectel", "remoteit")),
            *(items.user(self.of(dialect)) for dialect in ("quectel", "remoteit")),
            api_keys.presented(self.api_key),
            items.user_domain(self.of("quectel")),
            items.product(self.of("quectel")),
            items.user_device(self.of("quectel"), self.of("quectel"), self.run),
            items.nickname_lock(self.of("asseco"), self.of("asseco")),
            items.service_address(self.address),
            items.connection(self.company_device("remoteit"), self.of("remoteit")),
        ]

    @property
    def test_items(self) -> Mapping[Table, Key[items.DoctorRun]]:
        return {table: items.doctor_test_item(table, self.run) for table in Table if table is not Table.DIRECTORY}

    def clean_up(self) -> str:
        _remove(self.journal, self.keys())
        return "test data removed"


# ── The device link ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LinkTest:
    """A temporary device, and a connection to it."""

    run: str
    """Also the session of the tunnel."""
    url: str
    """URL of the device link."""
    device_key: str
    address: str
    credential: str
    """Credential of a tunnel."""
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Link(_Run):
    def keys(self) -> list[Key[Any]]:
        name, device = self.of("link"), self.company_device("link")
        return [
            items.account(name),
            items.user(name),
            items.device(device),
            items.owner(device),
            items.device_key(device),
            items.presence(device),
            items.service_address(self.address),
            items.connection(device, name),
            items.tunnel(device, self.run),
        ]


def open_link() -> LinkTest:
    """Create a device and a connection to it, which `close_link` removes. Raises `UNAVAILABLE`."""
    made = _Link()
    name, device = made.of("link"), made.company_device("link")
    dynamodb.write(made.journal.put(made.entry()))
    accounts.create(name, name=name)
    users.create(name, name)
    company_devices.bind(name, name, name, alias=None, firmware=None, kind=None)
    key, issued = device_credentials.new_key()
    # The device is new, so there is no connection to end.
    dynamodb.write(items.device_key(device).put(issued))
    connection = _lease(name, made.address, device)
    # After a refusal, an agent waits for minutes.
    for partition in (items.with_credential(issued["credential"]), items.connections_with_label(connection.label)):
        _wait_for(partition)
    url = f"ws{env.read('LINK_ENDPOINT').removeprefix('http')}"
    credential = f"{connection.label}.{connection.id}"
    return LinkTest(made.run, url, key, made.address, credential, connection.expires_at)


def _wait_for(partition: Partition[Any]) -> None:
    """Wait until an index lists an item."""
    for _ in range(INDEX_LOOKUPS):
        if next(dynamodb.query(partition), None) is not None:
            return
    raise Refused(Reason.UNAVAILABLE)


def close_link(run: str) -> None:
    """Remove what `open_link` has created. Raises `NOT_FOUND`."""
    journal = items.doctor_run(run)
    found = dynamodb.get(journal)
    if found is None:
        raise Refused(Reason.NOT_FOUND)
    _remove(journal, _entered(found))


def _lease(user: str, address: str, device: str) -> leases.Connection:
    """Open a user's connection to their device at a new service address."""
    # Without an operator, so that there is no act to remove.
    with dynamodb.acting(None):
        service_addresses.assign(address, device)
    token, _ = sessions.issue(user, "remoteit", _LIFETIME)
    assigned = Assigned.from_item(dynamodb.get(items.service_address(address)))
    return leases.connect(sessions.verify(token, "remoteit").look_up(), address, assigned, leases.ANY_CLIENT)


def _entered(journal: items.DoctorRun) -> list[Key[Any]]:
    return [Key(Table(table), pk, sk) for table, pk, sk in journal["entered"]]


def _remove_leftovers() -> str:
    long_ago = clock.now() - LEFT_BEHIND * 1000
    found = list(dynamodb.query(items.doctor_runs(), consistent=True))
    left = [journal for journal in found if journal["created_at"] < long_ago]
    for journal in left:
        _remove(items.doctor_run(journal["sk"]), _entered(journal))
    return f"of interrupted runs, removed: {len(left)}"


def _remove(journal: Key[items.DoctorRun], keys: Sequence[Key[Any]]) -> None:
    dynamodb.transact([key.delete() for key in (*keys, journal)])


# ── One round trip of each API ────────────────────────────────────────────────────────────────────────────────────────


def _rufus(names: _Names) -> str:
    name = names.of("rufus")
    accounts.create(name, name=name)
    api_keys.issue(name, Kind.RUFUS, Grant.WRITE, alias=name, chosen=names.api_key)
    key = api_keys.check(dynamodb.get(api_keys.presented(names.api_key)), Kind.RUFUS)
    company_devices.bind(key.account, name, name, alias=None, firmware=None, kind=None)
    _check_holder(names.company_device("rufus"), identity.account_holder(name))
    return "a device was bound by API key"


def _quectel(names: _Names) -> str:
    name = names.of("quectel")
    accounts.create(name, name=name)
    user_domains.create(name)
    users.create(name, name, domain=name)
    products.create(name, name=name, module_type=_DOCTOR)
    device = devices.manufacture(name, name, device_key=names.run)
    token, _ = sessions.issue(name, "quectel", _LIFETIME)
    session = sessions.verify(token, "quectel")
    binding.bind(session, name, name, capabilities=None, name=None, fid=None, frid=None, common=False)
    _check_holder(device, identity.user_holder(name))
    return "a device was bound by session token"


def _asseco(names: _Names) -> str:
    name = names.of("asseco")
    owned_devices.register(
        name,
        name,
        kind=owned_devices.IdentifierKind.APP_ID,
        nickname=name,
        operating_system=_DOCTOR,
        brand_name=None,
        model_name=None,
        push_platform=None,
        push_handle=None,
    )
    if owned_devices.find(name, name).status is not owned_devices.Status.ACTIVE:
        raise _Unhealthy("a device that was registered is not active")
    owned_devices.unregister(name, name)
    return "a device was registered and unregistered"


def _remoteit(names: _Names) -> str:
    name = names.of("remoteit")
    accounts.create(name, name=name)
    users.create(name, name)
    company_devices.bind(name, name, name, alias=None, firmware=None, kind=None)
    made = _lease(name, names.address, names.company_device("remoteit"))
    if _admitted(made.label) != made.id:
        raise _Unhealthy("a client was let through to another connection")
    return "a connection was leased and let a client through"


def _admitted(label: str) -> str:
    """Return the id of the connection at a label."""
    for _ in range(INDEX_LOOKUPS):
        try:
            return leases.admit(label, _CLIENT).lease["connection"]
        except Refused as refused:
            if refused.reason is not Reason.NOT_FOUND:
                raise
    raise _Unhealthy("a new connection is not found by its proxy label")


def _vodlix(names: _Names) -> str:
    name = names.of("vodlix")
    try:
        video_devices.add(
            name,
            device_os=_DOCTOR,
            device_version=_DOCTOR,
            device_type=_DOCTOR,
            app_version=_DOCTOR,
            app_name=_DOCTOR,
        )
    except Refused as refused:
        if refused.reason is Reason.REGISTRATION_DISABLED:
            return "not tried: device_management is off"
        raise
    if dynamodb.get(items.device(identity.video_device(name))) is None:
        raise _Unhealthy("a player that was added is not there")
    return "a player was added"


def _check_holder(device: str, holder: str) -> None:
    binding = dynamodb.get(items.owner(device))
    if binding is None or binding["holder"] != holder:
        raise _Unhealthy("a device that was bound is not its holder's")
