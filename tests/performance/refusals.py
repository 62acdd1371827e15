"""Requests that each public operation refuses, for every reason that it declares, on the demo data.

This is a story like those in `tests.performance.stories`, which cover successes and common refusals. It reverts each
of its changes to the demo data. `NOT_COUNTED` lists the reasons that it does not cover.
"""

import json
from typing import Any
from urllib.parse import urlencode

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.directory import api_keys, key_guesses, login_attempts, products, rates, sessions, users
from bindery.directory.api_keys import Kind
from bindery.quectel import binding, families, sharing, user_devices, user_domains
from bindery.quectel.sharing import Cover
from bindery.registry import devices, identity, items
from bindery.security.throttling import GuessThrottle
from tests.performance.stories import Event, Story, World
from tests.records import registration
from tools import template
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
    for part in (_rufus, _quectel, _quectel_parameters, _asseco, _remoteit, _vodlix):
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
    ben = world.token("ben", "quectel")
    yield from _shares(world, query, ben)
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


def _shares(world: World, query: dict[str, str], ben: str) -> Story:
    """Refusals for a device that ben owns and shares with ada."""
    owner, guest = (sessions.verify(world.token(uid, "quectel"), "quectel") for uid in ("ben", "ada"))
    binding.bind(owner, PK, "SN-A", capabilities=None, name=None, fid=None, frid=None, common=True)
    code = sharing.offer(owner, PK, DK, accepting_until=None, sharing_until=None, cover=Cover.ADD)
    accept, given = "quectel.share_device", {"shareCode": code}
    for reason, asked in (
        ("share_code_missing", {"shareCode": " "}),
        ("share_unknown", {"shareCode": "unknown"}),
        ("name_too_long", given | {"deviceName": LONG}),
    ):
        yield f"refused: {reason}", accept, world.sample(accept, query=asked)
    yield "refused: already_bound", accept, world.sample(accept, query=given, authorization=ben)
    looked, offer = "quectel.device_info", "quectel.share_info"
    theirs = {"pk": PK, "dk": DK}
    user_domains.change(demo.DOMAIN, enabled=False)
    yield "refused: domain_abnormal", accept, world.sample(accept, query=given)
    yield "refused: domain_abnormal", looked, world.sample(looked, query=given)
    yield "refused: domain_abnormal", offer, world.sample(offer, query=theirs, authorization=ben)
    user_domains.change(demo.DOMAIN, enabled=True)
    products.change(PK, domains=["other"])
    yield "refused: domain_not_authorised", accept, world.sample(accept, query=given)
    products.change(PK, domains=None)
    products.bar(PK, "ada")
    yield "refused: product_forbidden", accept, world.sample(accept, query=given)
    products.unbar(PK, "ada")
    device, place = identity.manufactured_device(PK, "SN-A"), items.user_device("ben", PK, DK)
    devices.ban(device, "stolen")
    yield "refused: device_banned", accept, world.sample(accept, query=given)
    devices.unban(device)
    lasting = {f"user-{number}": clock.seconds() + 3600 for number in range(user_devices.SHARE_LIMIT)}
    dynamodb.write(place.update(set={"shares": lasting}))
    yield "refused: limit_reached", accept, world.sample(accept, query=given)
    dynamodb.write(place.update(set={"shares": {}}))
    sharing.accept(guest, code, None)
    for name, reason, asked in (
        ("bind_device_sn", "share_accepted", query),
        ("get_device_info_by_binding", "share_accepted", theirs),
        ("share_info", "sharing_forbidden", theirs),
        ("get_auth_key", "not_owner", theirs),
        ("regenerate_auth_key", "not_owner", theirs),
    ):
        yield f"refused: {reason}", f"quectel.{name}", world.sample(f"quectel.{name}", **_sent(name, asked))
    soon = (clock.seconds() + 3600) * 1000
    shorter = theirs | {"coverMark": 3, "acceptingExpireAt": soon, "sharingExpireAt": soon + 1000}
    yield "refused: sharing_shortened", offer, world.sample(offer, query=shorter, authorization=ben)


_KEYS = {"pk": PK, "dk": "UNBOUND1"}
_KEYS_WRONG = {
    "product_key_missing": {"dk": "UNBOUND1"},
    "device_key_missing": {"pk": PK},
    "device_key_malformed": {"pk": PK, "dk": "84:15"},
}
_PARAMETERS: dict[str, dict[str, dict[str, Any]]] = {
    "user_device_list": {"device_key_malformed": {"dk": "a\x00"}, "name_too_long": {"deviceName": LONG}},
    "device_info": {
        "identifier_missing": {"pk": ""},
        "device_key_malformed": {"pk": PK, "dk": "a\x00"},
        "device_not_bound": _KEYS,
        "not_shared": {"shareCode": "unknown"},
    },
    "get_device_info_by_binding": {
        "product_key_missing": {"dk": "UNBOUND1"},
        "device_key_malformed": {"pk": PK, "dk": "84:15"},
        "product_unknown": {"pk": "unknown"},
    },
    "product_tsl": {"product_key_missing": {}, "tsl_unknown": {"pk": "unknown"}},
    "set_device_info": {
        **{reason: wrong | {"deviceName": "Door"} for reason, wrong in _KEYS_WRONG.items()},
        "name_missing": _KEYS | {"deviceName": " "},
        "name_too_long": _KEYS | {"deviceName": LONG},
        "device_not_bound": _KEYS | {"deviceName": "Door"},
    },
    **{
        name: {**_KEYS_WRONG, "device_not_bound": _KEYS}
        for name in (
            "unbundling_device_dk",
            "get_device_binding_info",
            "get_device_online_status",
            "get_auth_key",
            "regenerate_auth_key",
        )
    },
    "get_device_business_attributes": {
        **_KEYS_WRONG,
        "device_not_bound": _KEYS,
        "query_type_missing": _KEYS | {"codeList": "switch"},
    },
    "batch_control_device": {
        "command_type_missing": {},
        "command_type_unknown": {"type": 0},
        "command_missing": {"type": 2},
        "command_too_long": {"type": 2, "data": "1" * 4097},
        "devices_missing": {"type": 2, "data": "[]"},
        "too_many_devices": {"type": 2, "data": "[]", "deviceList": [{"productKey": PK, "deviceKey": DK}] * 50},
    },
    "share_info": {
        **_KEYS_WRONG,
        "timestamp_invalid": _KEYS | {"acceptingExpireAt": "soon"},
        "share_mode_unknown": _KEYS | {"coverMark": "4"},
        "sharing_too_short": _KEYS | {"sharingExpireAt": "1000"},
        "device_not_bound": _KEYS,
    },
}
"""Refusals of other quectel operations that depend only on the request, or concern an unbound device."""


def _sent(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a request that has an operation's parameters."""
    if name == "batch_control_device":
        return {"body": given}
    return {"body": urlencode(given)} if name.endswith("auth_key") else {"query": given}


def _quectel_parameters(world: World) -> Story:
    for name, wrong in _PARAMETERS.items():
        for reason, query in wrong.items():
            yield f"refused: {reason}", f"quectel.{name}", world.sample(f"quectel.{name}", **_sent(name, query))
    users.create("leaver", "demo", domain=demo.DOMAIN)
    event = world.sample("quectel.user_info", authorization=world.token("leaver", "quectel"))
    dynamodb.write(Delete(items.user("leaver")))
    yield "refused: user_unknown", "quectel.user_info", event
    login, secret = "quectel.email_pwd_login", demo._domain_secret()

    def given(email: str, domain: str, **wrong: str) -> Any:
        form = quectel_login.form(email, "a password", domain, secret) | wrong
        return world.sample(login, body=urlencode(form))

    yield "refused: signature_invalid", login, given("ada@example.com", demo.DOMAIN, signature="forged")
    yield "refused: user_domain_unknown", login, given("ada@example.com", "unknown")
    yield "refused: email_unknown", login, given("nobody@example.com", demo.DOMAIN)
    event = given("ada@example.com", demo.DOMAIN)
    _miss(
        login_attempts.NameAttempts(items.name_attempts("quectel", demo.DOMAIN, "ada@example.com", _source_ip(event)))
    )
    yield "refused: login_throttled", login, event
    yield from _phone_login(world, secret)


def _phone_login(world: World, secret: str) -> Story:
    login = "quectel.phone_pwd_login"

    def given(phone: str, domain: str, **wrong: str) -> Any:
        return world.sample(login, query=quectel_login.query("44", phone, "a password", domain, secret) | wrong)

    code, phone = demo.PHONE
    yield "refused: signature_invalid", login, given(phone, demo.DOMAIN, signature="forged")
    yield "refused: user_domain_unknown", login, given(phone, "unknown")
    yield "refused: phone_unknown", login, given("1", demo.DOMAIN)
    yield "refused: password_wrong", login, given(phone, demo.DOMAIN)
    event = given(phone, demo.DOMAIN)
    key = items.name_attempts("quectel", demo.DOMAIN, f"+{code}{phone}", _source_ip(event))
    _miss(login_attempts.NameAttempts(key))
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
    for name in ("set_nickname", "set_push_handle", "block_device", "unblock_device"):
        yield "refused: device_unknown", f"asseco.{name}", world.sample(f"asseco.{name}")
    mine, another = "990000862471854", "990000862471855"
    for identifier, nickname in ((mine, "My phone"), (another, "My other phone")):
        registration(demo.CUSTOMERS[""], identifier, nickname)
    nickname = "asseco.set_nickname"
    yield "refused: nickname_missing", nickname, world.sample(nickname, body={"nickname": ""})
    yield "refused: nickname_taken", nickname, world.sample(nickname, body={"nickname": "My other phone"})
    push = world.sample("asseco.set_push_handle")
    given = json.loads(push["body"])
    owned_devices.set_push_handle(
        demo.CUSTOMERS[""], mine, owned_devices.PushPlatform(given["push-platform"]), given["pns-handle"]
    )
    yield "refused: push_registered", "asseco.set_push_handle", push
    yield "refused: status_not_valid", "asseco.unblock_device", world.sample("asseco.unblock_device")
    owned_devices.unregister(demo.CUSTOMERS[""], mine)
    for name in ("set_nickname", "set_push_handle", "block_device", "unregister_device"):
        yield "refused: status_not_valid", f"asseco.{name}", world.sample(f"asseco.{name}")
    unknown = {"device-id": "unknown"}
    for name in ("get_issued_device", "set_issued_nickname"):
        yield "refused: device_unknown", f"asseco.{name}", world.sample(f"asseco.{name}", path=unknown)
    issued, schema = "asseco.set_issued_nickname", "asseco.get_classification"
    yield "refused: nickname_missing", issued, world.sample(issued, body={"nickname": ""})
    yield "refused: not_found", schema, world.sample(schema, path={"schema-id": "unknown"})


def _remoteit(world: World) -> Story:
    connect, login, stop = "remoteit.connect_device", "remoteit.login", "remoteit.stop_connection"
    yield "refused: malformed", connect, world.sample(connect, body="{")
    yield "refused: invalid", connect, world.sample(connect, body={"deviceaddress": "none"})
    yield "refused: token_missing", connect, world.sample(connect, token="")
    yield "refused: not_found", stop, world.sample(stop)
    rename, delete = "remoteit.rename_device", "remoteit.delete_device"
    unassigned = "80:00:00:00:00:00:00:00"
    body = {"deviceaddress": unassigned, "devicealias": "Door"}
    yield "refused: not_shared", rename, world.sample(rename, body=body)
    yield "refused: service_unknown", delete, world.sample(delete, path={"address": unassigned})
    yield from _slowed_keys(connect, world.sample(connect, developerkey="unknown"), Kind.REMOTEIT)
    yield from _limited(connect, world.sample(connect), api_keys.presented(demo._key("REMOTEIT_DEVELOPER_KEY")))
    event = world.sample(login, body={"username": "ada@example.com", "password": "a password"}, token="")
    _miss(login_attempts.NameAttempts(items.name_attempts("remoteit", "demo", "ada@example.com", _source_ip(event))))
    yield "refused: login_throttled", login, event
    by_authhash = "remoteit.login_by_authhash"
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
    activity = "vodlix.record_activity"
    yield "refused: device_unknown", activity, world.sample(activity)
    template.function(add).load()(world.sample(add), None)
    devices.ban(identity.video_device("A1B2C3D4E5F6"), "stolen")
    for name in ("vodlix.check_device", activity):
        yield "refused: device_banned", name, world.sample(name)


def _miss(misses: GuessThrottle) -> None:
    """Record failed guesses until the next one is throttled."""
    for _ in range(misses.LIMITS[0].free + 12):
        misses.fail()


def _source_ip(event: Event) -> str:
    return str(event["requestContext"]["http"]["sourceIp"])
