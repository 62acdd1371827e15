"""Records that tests create: accounts, users with credentials for every API, devices, connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bindery.asseco import issued_devices, owned_devices
from bindery.connectivity import leases, service_addresses
from bindery.connectivity.leases import ANY_CLIENT, Connection
from bindery.directory import accounts, api_keys, products, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.registry import devices, identity
from bindery.rufus import company_devices
from tests import moto_registry
from tests.conftest import clear_caches, make_environment
from tests.openid import CUSTOMER, OTHER, Bank

DOMAIN, PASSWORD = "demo", "correct horse battery"
PK, SN, DK = "p1117e", "SN0000000001", "F4A1B2C3D4E1"
ADDRESS = "80:00:00:00:00:00:00:F1"
CAMERA = ("Camera", "CAMERA-1")


@dataclass
class Caller:
    """A caller with credentials for every API."""

    uid: str
    account: str
    customer: str
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """By API: the credentials of a request."""


def bound(account: str, model: str, serial: str, address: str | None = None, **given: Any) -> str:
    """Bind a device to a company, give it a service address if one is specified, and return its key."""
    company_devices.bind(account, model, serial, **{"alias": None, "firmware": None, "kind": None} | given)
    device = identity.company_device(account, model, serial)
    if address is not None:
        service_addresses.assign(address, device)
    return device


def company_device(account: str = "acme", serial: str = "S") -> str:
    """Bind a device to an account."""
    return bound(account, "M", serial)


def registration(customer: str, identifier: str = "356", nickname: str = "Phone") -> str:
    """Register a bank customer's device."""
    owned_devices.register(
        customer,
        identifier,
        kind="imei",
        nickname=nickname,
        operating_system="iOS",
        brand_name=None,
        model_name=None,
        push_platform=None,
        push_handle=None,
    )
    return identity.customer_device(identifier)


def user(uid: str) -> users.User:
    """Return a user as a request authenticates them."""
    found = users.show(uid)
    return users.from_items(found, accounts.show(found["account"]))


def connection(uid: str, address: str = ADDRESS, client_ip: str = ANY_CLIENT) -> Connection:
    """Connect a user to the device at a service address."""
    return leases.connect(user(uid), address, service_addresses.find(address), client_ip)


def developer(uid: str, account: str) -> dict[str, str]:
    """Return the credentials of a remoteit request: a new developer key of an account, and a user's session."""
    key = api_keys.issue(account, Kind.REMOTEIT, Grant.READ_WRITE, alias=uid)
    return {"developerkey": key, "token": sessions.issue(uid, "remoteit", 3600)[0]}


@contextmanager
def empty_registry() -> Iterator[Bank]:
    """Provide an empty registry, and a bank whose tokens it trusts, for several tests."""
    with pytest.MonkeyPatch.context() as environment, Bank() as bank:
        make_environment(environment)
        bank.trusted(environment)
        with moto_registry.empty():
            clear_caches()
            yield bank
            clear_caches()


def email(uid: str) -> str:
    """Return a user's email address."""
    return f"{uid}@example.com"


def phone(uid: str) -> str:
    """Return the phone number of ada, ben or cleo."""
    return f"+447700900{ord(uid[0])}"


def install(bank: Bank) -> tuple[str, Caller, Caller, Caller]:
    """Create two accounts, a user domain, a product with a device, and a device of each other API that needs one.

    Return the domain's secret and three users: ada, ben of the same account, and cleo of the other. The bank issues
    asseco's tokens.
    """
    for account in ("acme", "other"):
        accounts.create(account, name=account.title())
    secret = domain_secrets.create(DOMAIN)
    products.create(PK, name="Product", module_type="FC41D")
    devices.manufacture(PK, SN, device_key=DK)
    ada = _caller(bank, "ada", "acme", CUSTOMER)
    ben = _caller(bank, "ben", "acme", OTHER)
    cleo = _caller(bank, "cleo", "other", "MIGR00009")
    bound("acme", *CAMERA, address=ADDRESS)
    issued_devices.enter(CUSTOMER, device_id="CARD-0001", kind="payment-card", card_status="valid")
    return secret, ada, ben, cleo


def _caller(bank: Bank, uid: str, account: str, customer: str) -> Caller:
    users.create(uid, account, domain=DOMAIN, customer=customer, email=email(uid), phone=phone(uid))
    users.set_password(uid, PASSWORD)
    rufus = api_keys.issue(account, Kind.RUFUS, Grant.READ_WRITE, alias=uid, unbind=True)
    headers = {
        "rufus": {"api_key": rufus},
        "quectel": {"authorization": sessions.issue(uid, "quectel", 3600)[0]},
        "asseco": {"authorization": f"bearer {bank.token(sub=customer)}"},
        "remoteit": developer(uid, account),
    }
    return Caller(uid, account, customer, headers)
