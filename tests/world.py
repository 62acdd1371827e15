"""Installations for the tests: accounts, users with credentials for every API, devices, and requests to operations."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest

from bindery.asseco import issued_devices
from bindery.connectivity import service_addresses
from bindery.directory import accounts, api_keys, products, sessions, users
from bindery.directory.api_keys import Grant, Kind
from bindery.quectel import domain_secrets
from bindery.registry import devices, identity
from bindery.rufus import company_devices
from tests import moto_registry
from tests.conftest import clear_caches, make_environment
from tests.http_api import SOURCE_IP, Response, invoke
from tests.openid import CUSTOMER, OTHER, Bank
from tools import template

Event = dict[str, Any]

DOMAIN, PASSWORD = "demo", "correct horse battery"
PK, SN, DK = "p1117e", "SN0000000001", "F4A1B2C3D4E1"
ADDRESS = "80:00:00:00:00:00:00:F1"
CAMERA = ("Camera", "CAMERA-1")

CREDENTIALS = ("api_key", "x-api-key", "authorization", "token", "developerkey", "apikey")
"""Headers that carry a credential."""


@dataclass
class Caller:
    """A caller with credentials for every API."""

    uid: str
    account: str
    customer: str
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """By API: the credentials of a request."""


def sample(
    name: str,
    headers: Mapping[str, str] | None = None,
    *,
    path: Mapping[str, str] | None = None,
    query: str | Mapping[str, Any] | None = None,
    body: Any = None,
) -> Event:
    """Return an operation's sample request with these credentials, and with the specified parts replaced.

    Bytes are base64-encoded, as the gateway does for most content types. Empty headers are left out.
    """
    event: Event = json.loads(template.function(name).event.read_text())
    given = {header: value for header, value in event["headers"].items() if header not in CREDENTIALS}
    event["headers"] = {header: value for header, value in (given | dict(headers or {})).items() if value}
    if path is not None:
        event["pathParameters"] = dict(path)
    if query is not None:
        event["rawQueryString"] = query if isinstance(query, str) else urlencode(query)
    if isinstance(body, bytes):
        event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    elif body is not None:
        event |= {"body": body if isinstance(body, str) else json.dumps(body), "isBase64Encoded": False}
    return event


def send(name: str, headers: Mapping[str, str] | None = None, *, source_ip: str = SOURCE_IP, **parts: Any) -> Response:
    """Send an operation's sample request with these credentials, and with the specified parts replaced."""
    event = sample(name, headers, **parts)
    event["requestContext"]["requestId"] = "request-1"
    event["requestContext"]["http"]["sourceIp"] = source_ip
    return invoke(name, event)


def bound(account: str, model: str, serial: str, address: str | None = None, **given: Any) -> str:
    """Bind a device to a company, give it a service address if one is specified, and return its key."""
    company_devices.bind(account, model, serial, **{"alias": None, "firmware": None, "kind": None} | given)
    device = identity.company_device(account, model, serial)
    if address is not None:
        service_addresses.assign(address, device)
    return device


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
    users.create(uid, account, domain=DOMAIN, customer=customer, email=email(uid))
    users.set_password(uid, PASSWORD)
    rufus = api_keys.issue(account, Kind.RUFUS, Grant.READ_WRITE, alias=uid, unbind=True)
    headers = {
        "rufus": {"api_key": rufus},
        "quectel": {"authorization": sessions.issue(uid, "quectel", 3600)[0]},
        "asseco": {"authorization": f"bearer {bank.token(sub=customer)}"},
        "remoteit": developer(uid, account),
    }
    return Caller(uid, account, customer, headers)
