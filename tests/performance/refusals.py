"""Requests that binding operations refuse, for every reason that they declare, and throttled guesses, on the demo data.

This is a story like those in `tests.performance.stories`, which cover successes and common refusals. It reverts each
of its changes to the demo data. `NOT_COUNTED` lists the reasons that it does not cover.
"""

import json
from typing import Any
from urllib.parse import urlencode

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import api_keys, key_guesses, login_attempts, products, rates, sessions, users
from bindery.directory.api_keys import Kind
from bindery.quectel import binding, families, sharing, user_domains
from bindery.quectel.sharing import Cover
from bindery.registry import devices, items
from bindery.security.throttling import GuessThrottle
from tests.performance.stories import Event, Story, World
from tools.local import demo, quectel_login

PK = demo.PRODUCT_KEY
DK = "ABCD1234"
LONG = "n" * 255

NOT_COUNTED = {
    Reason.INTERNAL: "an unhandled exception",
    Reason.UNAVAILABLE: "DynamoDB is unavailable; the cost depends on the number of retries",
    Reason.CONFLICT: "a concurrent write; the cost depends on the number of retries",
    Reason.LOOKUP_FAILED: "DynamoDB is unavailable for a read",
    Reason.SERIAL_LOOKUP_FAILED: "DynamoDB is unavailable for the read of a device",
    Reason.BINDING_FAILED: "a concurrent write between read and write, at each attempt",
    Reason.ACCESS_DENIED: "asseco: only if a scope is configured, and checked from the token alone like TOKEN_INVALID",
}
"""Reasons whose cost is not counted, and why."""

NEVER = {
    "quectel.bind_device_sn": {
        Reason.MALFORMED: "its parameters are in the query string",
        Reason.PARAMETER_MISSING: "each missing parameter has its own reason",
    },
    "asseco.register_owned_device": {Reason.PARAMETER_MISSING: "each missing parameter has its own reason"},
}
"""Reasons of the request handling that a binding operation never has, and why."""


def refusals(world: World) -> Story:
    for part in (_rufus, _quectel, _quectel_logins, _asseco, _remoteit, _vodlix):
        yield from part(world)


def _rufus(world: World) -> Story:
    bind = "rufus.bind_device"
    yield "refused: malformed", bind, world.sample(bind, body="{")
    body = {"model": "Model X1", "serial_number": "DEVICE-123"}
    yield "refused: invalid", bind, world.sample(bind, body=body | {"alias": "a\x00"})
    yield from _slowed_keys(bind, world.sample(bind, api_key="unknown"), Kind.RUFUS)
    key, listed = api_keys.presented(demo._key("RUFUS_UNBIND_KEY")), "rufus.list_devices"
    yield from _limited(bind, world.sample(bind), key)
    rates.limit(key, 1, 2)
    for case in ("with a limit", "with a limit, last of a batch"):
        yield case, listed, world.sample(listed)
    rates.lift(key)


def _quectel(world: World) -> Story:
    bind = "quectel.bind_device_sn"
    query = {"pk": PK, "sn": "SN-A"}
    devices.manufacture(PK, "SN-A", device_key=DK)
    for reason, asked in (
        ("product_key_missing", {"sn": "SN-A"}),
        ("name_too_long", query | {"deviceName": LONG}),
        ("invalid", query | {"capabilitiesBitmask": "16"}),
        ("home_mode_off", query | {"fid": "home"}),
    ):
        yield f"refused: {reason}", bind, world.sample(bind, query=asked)
    user_domains.change(demo.DOMAIN, enabled=False)
    yield "refused: domain_abnormal", bind, world.sample(bind, query=query)
    user_domains.change(demo.DOMAIN, enabled=True, binders="administrators")
    yield "refused: role_not_permitted", bind, world.sample(bind, query=query)
    user_domains.change(demo.DOMAIN, binders="everyone")
    products.create("elsewhere", name="Product", module_type="BC26", domains=["other"])
    yield "refused: domain_not_authorised", bind, world.sample(bind, query={"pk": "elsewhere", "sn": "SN-A"})
    products.bar(PK, "ada")
    yield "refused: product_forbidden", bind, world.sample(bind, query=query)
    products.unbar(PK, "ada")
    for reason, serial_number, facts in (
        ("device_key_missing", "SN-B", {"device_key": None}),
        ("device_key_malformed", "SN-C", {"device_key": "84:15"}),
        ("data_center_mismatch", "SN-D", {"device_key": "ABCD1235", "data_center": "elsewhere"}),
    ):
        devices.manufacture(PK, serial_number, **facts)
        yield f"refused: {reason}", bind, world.sample(bind, query={"pk": PK, "sn": serial_number})
    users.set_home_mode("ada", True)
    families.create("full", "ada")
    common = {f"quectel#{PK}#filler-{number}" for number in range(families.COMMON_LIMIT)}
    dynamodb.write(items.family("full").update(add={"common": common}))
    yield "refused: common_list_full", bind, world.sample(bind, query=query | {"fid": "full"})
    users.set_home_mode("ada", False)
    owner, guest = (sessions.verify(world.token(uid, "quectel"), "quectel") for uid in ("ben", "ada"))
    binding.bind(owner, PK, "SN-A", capabilities=None, name=None, fid=None, frid=None, common=True)
    code = sharing.offer(owner, PK, DK, accepting_until=None, sharing_until=None, cover=Cover.ADD)
    sharing.accept(guest, code, None)
    yield "refused: share_accepted", bind, world.sample(bind, query=query)
    yield from _limited(bind, world.sample(bind), items.account("demo"))
    guesses = binding.Guesses(items.guesses("ada"))
    _miss(guesses)
    for reason, slowed, asked in (
        ("serial_throttled", bind, query | {"sn": "SN-NONE"}),
        ("share_throttled", "quectel.share_device", {"shareCode": "unknown"}),
        ("look_throttled", "quectel.device_info", {"shareCode": "unknown"}),
    ):
        yield f"refused: {reason}", slowed, world.sample(slowed, query=asked)
    many = binding.Guesses.LIMITS[1].free + 20
    dynamodb.write(guesses.key.update(set={"failures": 0, "bound": many, "bound_at": clock.now()}))
    yield "refused: bindings_throttled", bind, world.sample(bind, query=query | {"sn": "SN-NONE"})
    dynamodb.write(Delete(guesses.key))


def _quectel_logins(world: World) -> Story:
    (code, phone), email, given = demo.PHONE, "ada@example.com", ("a password", demo.DOMAIN, demo._domain_secret())
    login = "quectel.email_pwd_login"
    event = world.sample(login, body=urlencode(quectel_login.form(email, *given)))
    _miss_login("quectel", demo.DOMAIN, email, event)
    yield "refused: login_throttled", login, event
    login = "quectel.phone_pwd_login"
    event = world.sample(login, query=quectel_login.query(code, phone, *given))
    _miss_login("quectel", demo.DOMAIN, f"+{code}{phone}", event)
    yield "refused: login_throttled", login, event


def _asseco(world: World) -> Story:
    register = "asseco.register_owned_device"
    body = json.loads(world.sample(register)["body"])
    for reason, asked in (
        ("malformed", "["),
        ("invalid", body | {"brand-name": "a\x00"}),
        ("nickname_missing", body | {"nickname": ""}),
        ("operating_system_missing", body | {"operating-system": ""}),
    ):
        yield f"refused: {reason}", register, world.sample(register, body=asked)
    yield "refused: token_invalid", register, world.sample(register, authorization="bearer forged")


def _remoteit(world: World) -> Story:
    connect, login, by_authhash = "remoteit.connect_device", "remoteit.login", "remoteit.login_by_authhash"
    yield "refused: malformed", connect, world.sample(connect, body="{")
    yield "refused: invalid", connect, world.sample(connect, body={"deviceaddress": "none"})
    yield "refused: token_missing", connect, world.sample(connect, token="")
    yield from _slowed_keys(connect, world.sample(connect, developerkey="unknown"), Kind.REMOTEIT)
    yield from _limited(connect, world.sample(connect), api_keys.presented(demo._key("REMOTEIT_DEVELOPER_KEY")))
    body = {"username": "ada@example.com", "password": "a password"}
    event = world.sample(login, body=body, token="")
    _miss_login("remoteit", "demo", body["username"], event)
    yield "refused: login_throttled", login, event
    body = {"username": "ada@example.com", "authhash": "0"}
    yield "refused: login_throttled", by_authhash, world.sample(by_authhash, body=body, token="")


def _slowed_keys(name: str, event: Event, kind: Kind) -> Story:
    """Refusals of an unknown key after many failed guesses from its network: counted, and then during the back-off."""
    place = items.key_guesses(kind, _source_ip(event))
    _miss(key_guesses.KeyGuesses(place))
    yield "refused: key_throttled", name, event
    yield "refused: key_throttled, too early", name, event
    dynamodb.write(Delete(place))


def _limited(name: str, event: Event, key: Key[Any]) -> Story:
    """The refusal while a bucket is empty."""
    dynamodb.write(key.update(set={"per_second": 1, "burst": 1, "full_at": clock.now() * 2000}))
    yield "refused: rate_exceeded", name, event
    rates.lift(key)


def _vodlix(world: World) -> Story:
    add = "vodlix.add_device"
    yield "refused: malformed", add, world.sample(add, body="{")
    yield "refused: invalid", add, world.sample(add, body=json.loads(world.sample(add)["body"]) | {"app_name": "a\x00"})


def _miss(misses: GuessThrottle) -> None:
    """Record failed guesses until the next one is throttled."""
    for _ in range(misses.LIMITS[0].free + 12):
        misses.fail()


def _miss_login(dialect: str, scope: str, name: str, event: Event) -> None:
    _miss(login_attempts.NameAttempts(items.name_attempts(dialect, scope, name, _source_ip(event))))


def _source_ip(event: Event) -> str:
    return str(event["requestContext"]["http"]["sourceIp"])
