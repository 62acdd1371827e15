"""Demo data of the local server: the documents' sample values, and callers.

The users ada (also asseco customer MIGR00002) and ben share an account and user domain; cleo has another account.
Data is created at the first start, tokens at every start.
"""

import json
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bindery.asseco import issued_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Key, Put, Table
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, api_keys, products, sessions, users
from bindery.directory.accounts import KeyKind
from bindery.directory.api_keys import Grant
from bindery.quectel import domain_secrets, user_domains
from bindery.registry import devices, identity, items
from bindery.registry.items import ServiceKind
from bindery.rufus import company_devices
from bindery.security.secrets import device_id
from tools import files, template
from tools.local import engine
from tools.local.issuer import Issuer
from tools.local.signatures import Operator

TOKEN_LIFETIME = 30 * 24 * 3600
"""Lifetime of the tokens in demo.env, in seconds."""

ACCOUNTS = {"": "demo", "_OTHER": "demo-other"}
"""Accounts by suffix of their variables."""
KEYS = {
    "RUFUS_API_KEY": (KeyKind.RUFUS, Grant.READ_WRITE, False),
    "RUFUS_READ_KEY": (KeyKind.RUFUS, Grant.READ, False),
    "RUFUS_UNBIND_KEY": (KeyKind.RUFUS, Grant.READ_WRITE, True),
    "REMOTEIT_DEVELOPER_KEY": (KeyKind.REMOTEIT, Grant.READ_WRITE, False),
}
"""Kind, grant and `unbind` of each account's keys."""
DOCUMENTED = {"RUFUS_API_KEY": "ror-ae4fc6c19681a20fad30"}
"""Keys that a document prints. The others are random."""

DOMAIN = "demo"
PRODUCT_KEY = "p1117e"
SERIALS = {"": "SN0000000001", "_OTHER": "SN0000000002"}
CUSTOMERS = {"": "MIGR00002", "_OTHER": "MIGR00003"}
SESSIONS = {
    "QUECTEL_TOKEN": ("ada", "quectel"),
    "QUECTEL_TOKEN_OTHER": ("ben", "quectel"),
    "REMOTEIT_TOKEN": ("ada", "remoteit"),
    "REMOTEIT_TOKEN_OTHER": ("cleo", "remoteit"),
}
"""User and API of each session token."""
LOGINS = {
    ("QUECTEL_EMAIL", "QUECTEL_PASSWORD", ""): "ada",
    ("QUECTEL_EMAIL", "QUECTEL_PASSWORD", "_OTHER"): "ben",
    ("REMOTEIT_USERNAME", "REMOTEIT_PASSWORD", ""): "ada",
    ("REMOTEIT_USERNAME", "REMOTEIT_PASSWORD", "_OTHER"): "cleo",
}
"""User who logs in with each pair of variables."""
PHONE = ("44", "7700900123")
"""Country code and phone number of cleo."""
ADDRESSES = {
    "REMOTEIT_DEVICE_ADDRESS": "80:00:00:00:00:00:00:F1",
    "REMOTEIT_DEVICE_ADDRESS_OTHER": "80:00:00:00:00:00:00:F2",
}
REACHABLE = (
    ("demo", "CAMERA-1", ADDRESSES["REMOTEIT_DEVICE_ADDRESS"]),
    ("demo", "CAMERA-2", "80:00:00:3F:AE:00:00:11"),
    ("demo-other", "CAMERA-1", ADDRESSES["REMOTEIT_DEVICE_ADDRESS_OTHER"]),
)
"""Account, serial number and service address of devices that accept connections."""
SERVICES: dict[str, tuple[str, ServiceKind, int]] = {
    "REMOTEIT_HTTP_ADDRESS": ("80:00:00:00:00:00:01:02", "http", 80),
    # Its port is the local relay host's first one.
    "REMOTEIT_SSH_ADDRESS": ("80:00:00:00:00:00:01:01", "ssh", 22),
}
"""Service addresses of the first of `CREDENTIALS`, with type and port."""
ISSUED: tuple[dict[str, Any], ...] = (
    {
        "device_id": "CARD-0001",
        "kind": "payment-card",
        "capabilities": ["icc", "nfc", "magnetic-stripe"],
        "masked_card_number": "4*** **** **** 1234",
        "is_primary": True,
        "card_status": "valid",
        "cardholder_name": "Ada Demo",
        "delivery_date": "2026-01-12",
        "activation_date": "2026-01-15",
        "expiration_date": "2099-12-31",
        "card_kind": "debit-card",
        "card_brand": "visa",
    },
    {"device_id": "TOKEN-0001", "kind": "otp-token", "capabilities": ["hmac", "display"]},
)
"""Devices issued to customer MIGR00002."""

CREDENTIALS = {
    "RUFUS_DEVICE_CREDENTIAL": ("demo", "Model X1", "DEVICE-123"),
    "REMOTEIT_DEVICE_CREDENTIAL": ("demo", "Camera", "CAMERA-1"),
    "REMOTEIT_DEVICE_CREDENTIAL_OTHER": ("demo-other", "Camera", "CAMERA-1"),
}
"""Devices that can connect, the first once it is bound: account, model and serial number."""

_LOADED = Key(Table.DIRECTORY, "demo", "loaded")
_LOGINS_LOADED = Key(Table.DIRECTORY, "demo", "logins")
_PHONES_LOADED = Key(Table.DIRECTORY, "demo", "phones")
_SERVICES_LOADED = Key(Table.DIRECTORY, "demo", "services")


def load() -> None:
    """Create the demo data, unless an earlier start did."""
    for note, enter in (
        (_LOADED, _enter),
        (_LOGINS_LOADED, _enter_logins),
        (_PHONES_LOADED, _enter_phones),
        (_SERVICES_LOADED, _enter_services),
    ):
        if dynamodb.get(note) is None:
            enter()
            dynamodb.write(Put(note, {"created_at": clock.now()}))


def _enter() -> None:
    for suffix, account in ACCOUNTS.items():
        _once(accounts.create, account, name=account)
        for name, (kind, grant, unbind) in KEYS.items():
            variable = name + suffix
            _once(api_keys.issue, account, kind, grant, alias=variable, unbind=unbind, chosen=_key(variable))
    _once(user_domains.create, DOMAIN)
    _once(users.create, "ada", "demo", domain=DOMAIN, customer=CUSTOMERS[""])
    _once(users.create, "ben", "demo", domain=DOMAIN)
    _once(users.create, "cleo", "demo-other", domain=DOMAIN, customer=CUSTOMERS["_OTHER"])
    _once(products.create, PRODUCT_KEY, name="Demo product", module_type="FC41D")
    for number, serial in enumerate(SERIALS.values(), 1):
        devices.manufacture(PRODUCT_KEY, serial, device_key=f"F4A1B2C3D4E{number}")
    for account, serial, address in REACHABLE:
        company_devices.bind(account, "Camera", serial, alias=None, firmware=None, kind=None)
        _once(service_addresses.assign, address, identity.company_device(account, "Camera", serial))
    for members in ISSUED:
        issued_devices.enter(CUSTOMERS[""], **members)


def _enter_logins() -> None:
    """Create the login data, which older state folders lack."""
    _once(domain_secrets.replace, DOMAIN, _domain_secret())
    for uid in dict.fromkeys(LOGINS.values()):
        _once(users.change, uid, email=_email(uid))
        _once(users.set_password, uid, _password(uid))


def _enter_phones() -> None:
    """Create the phone number, which older state folders lack."""
    _once(users.change, "cleo", phone="+" + "".join(PHONE))


def _enter_services() -> None:
    """Create a device that is not bound yet, with its service addresses."""
    account, model, serial = CREDENTIALS["RUFUS_DEVICE_CREDENTIAL"]
    device = identity.company_device(account, model, serial)
    if dynamodb.get(items.device(device)) is None:
        deviceid = company_devices.bind(account, model, serial, alias=None, firmware=None, kind=None)
        company_devices.unbind(account, deviceid)
    for address, kind, port in SERVICES.values():
        _once(service_addresses.assign, address, device, kind, port)


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Write demo.env."""
    files.replace(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))


def write_postman(path: Path, variables: Mapping[str, str]) -> None:
    """Write a Postman environment."""
    values = [
        {"key": name, "value": value, "type": "default" if name == "baseUrl" else "secret", "enabled": True}
        for name, value in variables.items()
    ]
    environment = {"name": "Bindery (local)", "values": values, "_postman_variable_scope": "environment"}
    files.replace(path, json.dumps(environment, indent=1, ensure_ascii=False) + "\n")


def requests(url: str) -> list[str]:
    """Return a sample request for each API."""
    as_json = "-H 'Content-Type: application/json'"
    return [
        "rufus:",
        f"  curl -X POST {as_json} -H 'api_key: {DOCUMENTED['RUFUS_API_KEY']}'"
        f""" -d '{{"model":"Model X1","serial_number":"DEVICE-123"}}' {url}/v0/devices""",
        "quectel:",
        """  curl -X POST -H "Authorization: $QUECTEL_TOKEN\""""
        f' "{url}/v2/binding/enduserapi/bindDeviceSn?pk=$QUECTEL_PK&sn=$QUECTEL_SN"',
        "asseco:",
        f"""  curl -X POST {as_json} -H "Authorization: bearer $ASSECO_TOKEN\""""
        """ -d '{"external-device-identifier":"990000862471854","operating-system":"iOS 9.x","nickname":"My Phone","""
        f""""brand-name":"Apple IPhone","model-name":"IP-6S"}}' {url}/v1/device/owned-devices""",
        "remoteit:",
        """  curl -X POST -H "token:$REMOTEIT_TOKEN" -H "developerkey:$REMOTEIT_DEVELOPER_KEY\""""
        f""" -d '{{"wait":"true","deviceaddress":"'$REMOTEIT_DEVICE_ADDRESS'"}}' {url}/apv/v27/device/connect""",
        "vodlix:",
        f"""  curl -X POST {as_json} -d '{{"mac_address":"A1B2C3D4E5F6","device_os":"iOS","device_version":"14.5","""
        f""""device_type":"Mobile","app_version":"2.0","app_name":"MyApp"}}' {url}/api/v2/device""",
    ]


def variables(issuer: Issuer, operator: Operator) -> dict[str, str]:
    """Return the variables of demo.env, with new tokens."""
    return dict(_variables(issuer, operator))


def _variables(issuer: Issuer, operator: Operator) -> Iterator[tuple[str, str]]:
    for suffix in ACCOUNTS:
        for name in KEYS:
            yield name + suffix, _key(name + suffix)
    for name, (uid, dialect) in SESSIONS.items():
        try:
            token, _ = sessions.issue(uid, dialect, TOKEN_LIFETIME)
        except Refused:
            # The user was disabled or deleted.
            continue
        yield name, token
    for (name, password, suffix), uid in LOGINS.items():
        yield name + suffix, _email(uid)
        yield password + suffix, _password(uid)
    yield "QUECTEL_USER_DOMAIN", DOMAIN
    yield "QUECTEL_DOMAIN_SECRET", _domain_secret()
    for suffix, serial in SERIALS.items():
        yield "QUECTEL_PK" + suffix, PRODUCT_KEY
        yield "QUECTEL_SN" + suffix, serial
    parameters = {
        name: str(parameter.get("Default", "")) for name, parameter in template.document()["Parameters"].items()
    }
    scope = f"{parameters['ReadScope']} {parameters['WriteScope']}".strip()
    for suffix, customer in CUSTOMERS.items():
        claims = {"sub": customer, parameters["CustomerClaim"]: customer, "aud": parameters["Audience"], "scope": scope}
        yield "ASSECO_TOKEN" + suffix, issuer.token(claims, TOKEN_LIFETIME)
    yield from ADDRESSES.items()
    yield from ((name, address) for name, (address, _, _) in SERVICES.items())
    for name, place in CREDENTIALS.items():
        yield name, device_id(*place)
    yield "BINDERY_ACCESS_KEY_ID", operator.access_key_id
    yield "BINDERY_SECRET_ACCESS_KEY", operator.secret_access_key


def _key(variable: str) -> str:
    """Return the documented key, or a stored random one."""
    prefix = "ror-" if variable.startswith("RUFUS") else ""
    return DOCUMENTED.get(variable) or engine.keep(f"Demo/{variable}", lambda: prefix + secrets.token_hex(20))


def _domain_secret() -> str:
    return engine.keep("Demo/QUECTEL_DOMAIN_SECRET", lambda: secrets.token_hex(32))


def _email(uid: str) -> str:
    return f"{uid}@example.com"


def _password(uid: str) -> str:
    return engine.keep(f"Demo/PASSWORD_{uid}", lambda: secrets.token_urlsafe(12))


def _once(enter: Callable[..., object], *given: object, **named: object) -> None:
    """Create a record unless it exists or its parent was deleted."""
    try:
        enter(*given, **named)
    except Refused as fault:
        if fault.reason not in (Reason.ALREADY_EXISTS, Reason.NOT_FOUND):
            raise
