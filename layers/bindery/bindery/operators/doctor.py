"""Whether the installation works: its tables, secrets, issuer and clock, and one round trip of each dialect.

The round trips run the dialects' own rules in this process, with data under random names that they remove again. They
prove the registry's side: tables, conditions, transactions, indexes, secrets. That API Gateway routes a request to its
function, and that each function may make its calls, only a request over HTTPS proves.

What a run enters is written down first, below `doctor` in the directory, so that the next run removes whatever an
interrupted one left behind. While a run lasts, some seconds at most, its accounts (`doctor-…`) stand in the lists.
A run makes some hundred DynamoDB calls.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from secrets import token_bytes, token_hex

from bindery.asseco import owned_devices
from bindery.aws import clients, dynamodb
from bindery.aws.dynamodb import Delete, Item, Key, Put, Table
from bindery.connectivity import leases, service_addresses
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import BY_LIST, accounts, api_keys, products, sessions, storage_format, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import binding, user_domains
from bindery.registry import bindings, devices, holdings, identity
from bindery.rufus import company_devices
from bindery.security import oidc, secrets
from bindery.vodlix import video_devices

SECRETS = (
    "DEVICE_ID_SECRET",
    "BINDING_KEY_SECRET",
    "QUECTEL_SESSION_SECRET",
    "REMOTEIT_SESSION_SECRET",
    "DIRECTORY_SECRET",
)
"""The settings that name the installation's secrets."""

SECRET_BYTES = 32
"""How long a secret must be at least: HMAC-SHA-256 gains nothing from more, and loses by less."""

INDEXES: Mapping[str, tuple[Table, str]] = {
    "by_serial": (Table.DEVICES, "serial"),
    bindings.BY_HOLDER: (Table.BINDINGS, "holder"),
    leases.BY_PROXY: (Table.BINDINGS, "proxy"),
    BY_LIST: (Table.DIRECTORY, "list"),
}
"""Every index: its table and partition key."""

CLOCK_LIMIT = 5
"""Seconds by which our clock and DynamoDB's may differ."""

LEFT_BEHIND = 60
"""Seconds after which a run that did not tidy up is over: no function runs as long."""

ADMISSIONS = 50
"""How often a new connection is looked for: the index by proxy label follows its table within milliseconds."""

NOT_CONFIGURED = "https://issuer.invalid"
"""The issuer that the template names until an operator names one."""

_JOURNAL = "doctor"
_CLIENT = "192.0.2.1"
_LIFETIME = 60
"""Seconds for which a run's session tokens are good."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `detail` says what was found, and holds nothing secret."""

    name: str
    healthy: bool
    detail: str


class _Ill(Exception):
    """What a check found wrong."""


def run() -> list[Check]:
    """Make every check, each on its own: one that fails stops no other but the round trips, which need the tables."""
    secrets.clear_cache()
    names = _Names()
    looked_at = [_check(name, check) for name, check in _parts(names)]
    tried: Mapping[str, Callable[[_Names], str]] = {
        "rufus": _rufus,
        "quectel": _quectel,
        "asseco": _asseco,
        "remoteit": _remoteit,
        "vodlix": _vodlix,
    }
    if all(check.healthy for check in looked_at if check.name.startswith("table ")):
        looked_at.append(_check("leftovers", _sweep))
        looked_at.extend(_check(name, partial(trial, names)) for name, trial in tried.items())
    else:
        looked_at.extend(Check(name, False, "not tried: a table cannot be used") for name in tried)
    looked_at.append(_check("tidying up", names.tidy_up))
    return looked_at


def _check(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except _Ill as ill:
        return Check(name, False, str(ill))
    except Refused as fault:
        return Check(name, False, f"refused: {fault.reason}{_because(fault.__cause__)}")
    # Whatever breaks a check is what the check is for; a name says enough, and cannot hold a secret.
    except Exception as error:
        return Check(name, False, f"failed: {clients.code(error)}")


def _because(cause: BaseException | None) -> str:
    return "" if cause is None else f" ({clients.code(cause)})"


def _parts(names: "_Names") -> Iterator[tuple[str, Callable[[], str]]]:
    # The journal first: what is entered before it, no later run would find.
    for table, key in {Table.DIRECTORY: names.journal, **names.probes}.items():
        yield f"table {table.name.lower()}", partial(_table, key, names)
    for index, (table, attribute) in INDEXES.items():
        yield f"index {index}", partial(_index, index, table, attribute)
    for setting in SECRETS:
        yield f"secret {setting.lower().removesuffix('_secret')}", partial(_secret, setting)
    yield "format", _format
    yield "issuer", _issuer
    yield "clock", _clock


def _table(key: Key, names: "_Names") -> str:
    """Write an item and read it, in the directory the journal itself. Without that nothing is written elsewhere."""
    if key != names.journal and dynamodb.get(names.journal) is None:
        raise _Ill("not tried: the journal could not be written")
    dynamodb.write(Put(key, names.entry() if key == names.journal else {"created_at": clock.now()}))
    if dynamodb.get(key) is None:
        raise _Ill("an item that was written is not there")
    return "readable and writable"


def _index(index: str, table: Table, attribute: str) -> str:
    next(dynamodb.query(table, f"#{attribute} = :value", {":value": _JOURNAL}, index=index), None)
    return "answers"


def _secret(setting: str) -> str:
    if len(secrets.secret(setting)) < SECRET_BYTES:
        raise _Ill(f"shorter than {SECRET_BYTES} bytes")
    return "readable, and long enough"


def _format() -> str:
    if (found := storage_format.record()) != storage_format.CURRENT:
        raise _Ill(
            f"the tables have format {found}, this release needs format {storage_format.CURRENT}: deploy the release"
            " that wrote them"
        )
    return str(found)


def _issuer() -> str:
    if env.read("ISSUER") == NOT_CONFIGURED:
        return "not configured: every asseco request is answered 401"
    if not (published := oidc.published()):
        raise _Ill(f"publishes no key for {' or '.join(oidc.ALGORITHMS)}")
    return f"reachable, keys: {len(published)}"


def _clock() -> str:
    apart = abs(clock.seconds() - dynamodb.server_seconds())
    if apart > CLOCK_LIMIT:
        raise _Ill(f"{apart} s apart from DynamoDB's")
    return f"within {CLOCK_LIMIT} s of DynamoDB's"


@dataclass(frozen=True, slots=True)
class _Names:
    """The names under which a run enters its data: random, and known before anything is written."""

    run: str = field(default_factory=lambda: token_hex(16))
    address: str = field(default_factory=lambda: ":".join(f"{byte:02X}" for byte in token_bytes(8)))
    api_key: str = field(default_factory=lambda: f"ror-{token_hex(20)}")

    def of(self, dialect: str) -> str:
        """What everything is called that a dialect's round trip enters: account, user, product, serial number…"""
        return f"{_JOURNAL}-{self.run}-{dialect}"

    def company_device(self, dialect: str) -> str:
        """A device as a company binds it."""
        name = self.of(dialect)
        return identity.company_device(name, name, name)

    def entered(self) -> list[Key]:
        """Every item that a run may leave behind: fewer than a transaction takes."""
        bound = [
            self.company_device("rufus"),
            identity.manufactured_device(self.of("quectel"), self.of("quectel")),
            identity.customer_device(self.of("asseco")),
            self.company_device("remoteit"),
        ]
        return [
            *self.probes.values(),
            *(devices.key(device) for device in bound),
            *(bindings.owner(device) for device in bound),
            devices.key(identity.player_device(self.of("vodlix"))),
            *(accounts.key(self.of(dialect)) for dialect in ("rufus", "quectel", "remoteit")),
            *(users.key(self.of(dialect)) for dialect in ("quectel", "remoteit")),
            api_keys.presented(self.api_key),
            user_domains.key(self.of("quectel")),
            products.key(self.of("quectel")),
            holdings.key(self.of("quectel"), self.of("quectel"), self.run),
            owned_devices.guard(self.of("asseco"), self.of("asseco")),
            service_addresses.key(self.address),
            leases.key(self.company_device("remoteit"), self.of("remoteit")),
        ]

    @property
    def journal(self) -> Key:
        """Where it is said what will be entered, before it is."""
        return Key(Table.DIRECTORY, _JOURNAL, self.run)

    @property
    def probes(self) -> Mapping[Table, Key]:
        """In each other table an item that is written to see whether it can be."""
        name = f"{_JOURNAL}-{self.run}"
        return {Table.DEVICES: Key(Table.DEVICES, name), Table.BINDINGS: Key(Table.BINDINGS, name, _JOURNAL)}

    def entry(self) -> Item:
        """What the journal says."""
        return {"entered": [[key.table, key.pk, key.sk] for key in self.entered()], "created_at": clock.now()}

    def tidy_up(self) -> str:
        """Remove all of it, in one transaction."""
        _remove(self.journal, self.entered())
        return "everything that was entered is removed"


def _sweep() -> str:
    """Remove what interrupted runs left behind."""
    long_ago = clock.now() - LEFT_BEHIND * 1000
    found = list(dynamodb.query(Table.DIRECTORY, "#pk = :pk", {":pk": _JOURNAL}, consistent=True))
    left = [journal for journal in found if journal["created_at"] < long_ago]
    for journal in left:
        _remove(
            Key(Table.DIRECTORY, journal["pk"], journal["sk"]),
            [Key(Table(table), pk, sk) for table, pk, sk in journal["entered"]],
        )
    return f"of interrupted runs, removed: {len(left)}"


def _remove(journal: Key, entered: Sequence[Key]) -> None:
    dynamodb.transact([Delete(key) for key in (*entered, journal)])


# ── One round trip of each dialect ────────────────────────────────────────────────────────────────────────────────────


def _rufus(names: _Names) -> str:
    name = names.of("rufus")
    accounts.create(name, name=name)
    api_keys.issue(name, Kind.RUFUS, Grant.WRITE, alias=name, chosen=names.api_key)
    key = api_keys.check(dynamodb.get(api_keys.presented(names.api_key)), Kind.RUFUS)
    company_devices.bind(key.account, name, name, alias=None, firmware=None, kind=None)
    _held(names.company_device("rufus"), identity.account_holder(name))
    return "a device was bound by API key"


def _quectel(names: _Names) -> str:
    name = names.of("quectel")
    accounts.create(name, name=name)
    user_domains.create(name)
    users.create(name, name, domain=name)
    products.create(name, name=name, module_type=_JOURNAL)
    device = devices.manufacture(name, name, device_key=names.run)
    token, _ = sessions.issue(name, "quectel", _LIFETIME)
    session = sessions.verify(token, "quectel")
    binding.bind(session, name, name, capabilities=None, name=None, fid=None, frid=None, common=False)
    _held(device, identity.user_holder(name))
    return "a device was bound by session token"


def _asseco(names: _Names) -> str:
    name = names.of("asseco")
    owned_devices.register(
        name,
        name,
        kind=owned_devices.IdentifierKind.APP_ID,
        nickname=name,
        operating_system=_JOURNAL,
        brand_name=None,
        model_name=None,
        push_platform=None,
        push_handle=None,
    )
    if owned_devices.find(name, name).status is not owned_devices.Status.ACTIVE:
        raise _Ill("a device that was registered is not active")
    owned_devices.unregister(name, name)
    return "a device was registered and unregistered"


def _remoteit(names: _Names) -> str:
    name = names.of("remoteit")
    accounts.create(name, name=name)
    users.create(name, name)
    company_devices.bind(name, name, name, alias=None, firmware=None, kind=None)
    service_addresses.assign(names.address, names.company_device("remoteit"))
    token, _ = sessions.issue(name, "remoteit", _LIFETIME)
    user = sessions.verify(token, "remoteit").look_up()
    assigned = service_addresses.read(dynamodb.get(service_addresses.key(names.address)))
    made = leases.connect(user, names.address, assigned, leases.ANY_CLIENT)
    if _admitted(made.proxy).id != made.id:
        raise _Ill("a client was let through to another connection")
    return "a connection was leased and let a client through"


def _admitted(label: str) -> leases.Connection:
    for _ in range(ADMISSIONS):
        try:
            return leases.admit(label, _CLIENT)
        except Refused as fault:
            if fault.reason is not Reason.NOT_FOUND:
                raise
    raise _Ill("a new connection is not found by its proxy label")


def _vodlix(names: _Names) -> str:
    name = names.of("vodlix")
    try:
        video_devices.add(
            name,
            device_os=_JOURNAL,
            device_version=_JOURNAL,
            device_type=_JOURNAL,
            app_version=_JOURNAL,
            app_name=_JOURNAL,
        )
    except Refused as fault:
        if fault.reason is Reason.REGISTRATION_DISABLED:
            return "not tried: device_management is off"
        raise
    if dynamodb.get(devices.key(identity.player_device(name))) is None:
        raise _Ill("a player that was added is not there")
    return "a player was added"


def _held(device: str, holder: str) -> None:
    binding = dynamodb.get(bindings.owner(device))
    if binding is None or binding["holder"] != holder:
        raise _Ill("a device that was bound is not its holder's")
