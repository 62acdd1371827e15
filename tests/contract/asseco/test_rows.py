"""asseco: exact responses of each operation, and the items it writes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.asseco.owned_devices import Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.core.errors import Reason
from bindery.registry import devices, identity, items
from tests.http_api import Response, event, invoke
from tests.openid import CUSTOMER, OTHER, Bank, rsa_key
from tests.tables import everything, stored
from tools import template

SAMPLE = {
    "external-device-identifier": "990000862471854",
    "operating-system": "iOS 9.x",
    "nickname": "My Phone",
    "brand-name": "Apple IPhone",
    "model-name": "IP-6S",
}
SHOWN = (
    '{"imei":"990000862471854","customer-id":"MIGR00002","status":"active","nickname":"My Phone",'
    '"operating-system":"iOS 9.x","brand-name":"Apple IPhone","model-name":"IP-6S","installation-id":null,'
    '"push-id":null,"push-expiration-date":null}'
)
REGISTERED = '{"id":"990000862471854","CreatedRecordStatus":"active"}'
UNREGISTERED = '{"id":"990000862471854","CreatedRecordStatus":"unregistered"}'
UNKNOWN = '{"problem":"device-not-exist","message":"The device does not exist","details":null}'
STATUS_NOT_VALID = (
    '{"problem":"device-status-not-valid","message":"The device\'s status does not allow this","details":null}'
)
IMEI_NOT_UNIQUE = (
    '{"problem":"imei-not-unique","message":"A device with this identifier is registered already","details":null}'
)
NICKNAME_NOT_UNIQUE = (
    '{"problem":"nickname-not-unique","message":"Another device of the customer has this nickname","details":null}'
)
FORBIDDEN = (
    '{"problem":"forbidden","message":"The access token does not have the scope that this needs","details":null}'
)
IMEI_NOT_SET = '{"problem":"imei-not-set","message":"The device\'s identifier is not set","details":null}'
NICKNAME_NOT_SET = '{"problem":"nickname-not-set","message":"The device\'s nickname is not set","details":null}'
OPERATING_SYSTEM_NOT_SET = (
    '{"problem":"operating-system-not-set","message":"The device\'s operating system is not set","details":null}'
)
MESSAGES = {
    "required": "A value is required",
    "max-length": "The value is too long",
    "unknown-enum": "The value is not one of those defined",
    "invalid-format": "The value does not have the format required",
}

OPERATIONS = [function.name for function in template.functions() if function.name.startswith("asseco.")]
ALIASES = {"imei": "/v1/device/devices/{}", "device-id": "/v1/device/owned-devices/{}"}


@pytest.fixture(autouse=True)
def bank(registry: None, environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    with Bank() as bank:
        bank.trusted(environment)
        yield bank


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"bearer {token}"}


def errors(**found: str) -> str:
    listed = [{"tag": tag, "error": error, "message": MESSAGES[error]} for tag, error in found.items()]
    return json.dumps({"errors": listed}, separators=(",", ":"))


def register(bank: Bank, body: Any, customer: str = CUSTOMER) -> Response:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    request = event("POST", "/v1/device/owned-devices", headers=bearer(bank.token(sub=customer)), body=text)
    return invoke("asseco.register_owned_device", request)


def get(bank: Bank, identifier: str, customer: str = CUSTOMER, name: str = "imei") -> Response:
    headers = bearer(bank.token(sub=customer))
    path = ALIASES[name].format(identifier)
    return invoke("asseco.get_device", event("GET", path, headers=headers, path_parameters={name: identifier}))


def unregister(bank: Bank, identifier: str, customer: str = CUSTOMER, name: str = "imei") -> Response:
    headers = bearer(bank.token(sub=customer))
    path = ALIASES[name].format(identifier) + "/unregister"
    request = event("POST", path, headers=headers, path_parameters={name: identifier})
    return invoke("asseco.unregister_device", request)


def owned(bank: Bank, query: str = "", customer: str = CUSTOMER) -> Response:
    headers = bearer(bank.token(sub=customer))
    return invoke("asseco.list_owned_devices", event("GET", "/v1/device/owned-devices", headers=headers, query=query))


def issued(bank: Bank, query: str = "", customer: str = CUSTOMER) -> Response:
    headers = bearer(bank.token(sub=customer))
    return invoke("asseco.list_issued_devices", event("GET", "/v1/device/issued-devices", headers=headers, query=query))


def get_issued(bank: Bank, identifier: str, customer: str = CUSTOMER) -> Response:
    request = event(
        "GET",
        f"/v1/device/issued-devices/{identifier}",
        headers=bearer(bank.token(sub=customer)),
        path_parameters={"device-id": identifier},
    )
    return invoke("asseco.get_issued_device", request)


def block(identifier: str) -> None:
    owner = items.owner(identity.customer_device(identifier))
    dynamodb.write(owner.update(set={"status": Status.BLOCKED}))


# ── Access tokens ─────────────────────────────────────────────────────────────────────────────────────────────────────


def call(name: str, headers: dict[str, str]) -> Response:
    """Call an operation with a request that is complete except for these headers."""
    parameters = {"imei": "990000862471854", "device-id": "T-1", "schema-id": "card-kinds"}
    return invoke(
        name, event("GET", "/v1/device/x", headers=headers, path_parameters=parameters, body=json.dumps(SAMPLE))
    )


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "bearer "}, {"authorization": "Basic YTpi"}]
)
def test_missing_token_is_401_without_error_code(name: str, headers: dict[str, str]) -> None:
    answer = call(name, headers)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="device"')
    assert answer.body == '{"problem":"unauthorized","message":"An access token is required","details":null}'
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


@pytest.mark.parametrize("name", OPERATIONS)
def test_invalid_token_is_401_with_error_code(name: str, bank: Bank) -> None:
    tokens = (
        "ASSECO_TOKEN",
        bank.token(rsa_key("forger")),
        bank.token(exp=1),
        bank.token(aud="other"),
        bank.token() + "," + bank.token(),
    )
    for token in tokens:
        answer = call(name, bearer(token))
        challenge = answer.headers["WWW-Authenticate"]
        assert (answer.status, challenge) == (401, 'Bearer realm="device", error="invalid_token"')
        assert answer.body == '{"problem":"unauthorized","message":"The access token is not valid","details":null}'
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


@pytest.mark.parametrize("customer", [None, "", " ", 7, ["MIGR00002"], "C" * 257, "a\nb", "\ud800"])
def test_token_without_customer_is_401(customer: Any, bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, CUSTOMER_CLAIM="customer")
    answer = call("asseco.list_owned_devices", bearer(bank.token(customer=customer)))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="device", error="invalid_token"'


def test_customer_is_read_from_the_configured_claim(bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, CUSTOMER_CLAIM="customer")
    headers = bearer(bank.token(sub="somebody", customer="C" * 256))
    invoke("asseco.register_owned_device", event("POST", "/", headers=headers, body=json.dumps(SAMPLE)))
    answer = invoke(
        "asseco.get_device", event("GET", "/", headers=headers, path_parameters={"imei": "990000862471854"})
    )
    assert answer.json()["customer-id"] == "C" * 256


@pytest.mark.parametrize("name", OPERATIONS)
def test_missing_scope_is_403(name: str, bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, READ_SCOPE="read", WRITE_SCOPE="write")
    needed, other = ("read", "write") if name.startswith(("asseco.get_", "asseco.list_")) else ("write", "read")
    for scope in (None, "", other, f"{needed}er {other}", [other], {needed: True}, 5):
        answer = call(name, bearer(bank.token(scope=scope)))
        challenge = answer.headers["WWW-Authenticate"]
        assert (answer.status, challenge) == (403, 'Bearer realm="device", error="insufficient_scope"')
        assert answer.body == FORBIDDEN
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}
    for scope in (needed, f"{other} {needed}", [other, needed]):
        assert call(name, bearer(bank.token(scope=scope))).status not in (401, 403)


@pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER", "Bearer  "])
def test_authorization_scheme_is_case_insensitive(scheme: str, bank: Bank) -> None:
    assert call("asseco.list_owned_devices", {"Authorization": f"{scheme} {bank.token()}"}).status == 200


@pytest.mark.parametrize("name", OPERATIONS)
def test_unreachable_issuer_is_a_retryable_server_error(name: str, bank: Bank) -> None:
    bank.answers["/keys"] = (500, {}, b"")
    answer = call(name, bearer(bank.token()))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.body == (
        '{"problem":"service-unavailable","message":"Service unavailable, try again","details":null}'
    )
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


# ── POST /v1/device/owned-devices ─────────────────────────────────────────────────────────────────────────────────────


def test_documented_sample_registers_the_device(bank: Bank) -> None:
    answer = register(bank, SAMPLE)
    assert (answer.status, answer.body) == (200, REGISTERED)
    assert answer.headers == {
        "Content-Type": "application/json",
        "x-request-id": "request-1",
        "Location": "/v1/device/owned-devices/990000862471854",
    }
    binding, guard = stored(Table.BINDINGS)
    (made,) = stored(Table.DEVICES)
    assert made == {"pk": "asseco#990000862471854", "dialect": "asseco", "created_at": made["created_at"]}
    assert binding == {
        "pk": "asseco#990000862471854",
        "sk": "owner",
        "holder": "customer#MIGR00002",
        "binding": binding["binding"],
        "bound_at": binding["bound_at"],
        "holder_sort": f"asseco#{binding['bound_at']}",
        "leases": {},
        "status": "active",
        "identifier": "990000862471854",
        "identifier_kind": "imei",
        "nickname": "My Phone",
        "operating_system": "iOS 9.x",
        "brand_name": "Apple IPhone",
        "model_name": "IP-6S",
        "installation_id": None,
        "push_platform": None,
        "push_handle": None,
        "push_id": None,
        "push_expiration_date": None,
    }
    assert guard == {
        "pk": "customer#MIGR00002",
        "sk": "nickname#my phone",
        "device": "asseco#990000862471854",
        "binding": binding["binding"],
    }


def test_optional_fields_are_stored_and_others_ignored(bank: Bank) -> None:
    given = {
        "imei": "app:5 é",
        "nickname": " Tablet ",
        "operating-system": "Android",
        "external-device-id-kind": "app-id",
        "push-platform": "gcm",
        "push-handle": "h" * 512,
        "brand-name": " ",
        "status": "blocked",
        "customer-id": OTHER,
        "holder": OTHER,
        "installation-id": "x",
    }
    answer = register(bank, given)
    assert answer.body == '{"id":"app:5 é","CreatedRecordStatus":"active"}'
    assert answer.headers["Location"] == "/v1/device/owned-devices/app%3A5%20%C3%A9"
    binding = stored(Table.BINDINGS)[0]
    assert (binding["holder"], binding["status"], binding["nickname"]) == ("customer#MIGR00002", "active", "Tablet")
    assert (binding["identifier_kind"], binding["push_platform"], binding["push_handle"]) == (
        "app-id",
        "gcm",
        "h" * 512,
    )
    assert (binding["brand_name"], binding["model_name"], binding["installation_id"]) == (None, None, None)


@pytest.mark.parametrize("name", ["external-device-identifier", "external-device-id", "imei"])
def test_identifier_is_accepted_in_three_fields(name: str, bank: Bank) -> None:
    given = {name: "x-1", "nickname": "n", "operating-system": "o"}
    assert register(bank, given).body == '{"id":"x-1","CreatedRecordStatus":"active"}'
    assert get(bank, "x-1").status == 200


def test_first_identifier_field_is_used(bank: Bank) -> None:
    given = {"imei": "c", "external-device-id": "b", "external-device-identifier": "a"}
    assert register(bank, {**given, "nickname": "n", "operating-system": "o"}).json()["id"] == "a"


@pytest.mark.parametrize("body", [json.dumps(SAMPLE), json.dumps(SAMPLE).encode()])
def test_body_is_parsed_as_json_regardless_of_content_type(body: str | bytes, bank: Bank) -> None:
    headers = bearer(bank.token()) | {"content-type": "application/x-www-form-urlencoded"}
    request = event("POST", "/v1/device/owned-devices", headers=headers, body=body)
    assert invoke("asseco.register_owned_device", request).body == REGISTERED


@pytest.mark.parametrize("blank", ["absent", None, "", "  "])
@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        (["external-device-identifier"], IMEI_NOT_SET),
        (["nickname"], NICKNAME_NOT_SET),
        (["operating-system"], OPERATING_SYSTEM_NOT_SET),
        (["nickname", "operating-system"], NICKNAME_NOT_SET),
        (["external-device-identifier", "nickname", "operating-system"], IMEI_NOT_SET),
    ],
)
def test_missing_required_field_is_440(fields: list[str], refusal: str, blank: str | None, bank: Bank) -> None:
    body = {name: value for name, value in SAMPLE.items() if name not in fields}
    answer = register(bank, body if blank == "absent" else body | dict.fromkeys(fields, blank))
    assert (answer.status, answer.body) == (440, refusal)
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"external-device-identifier": 990000862471854}, {"external-device-identifier": "invalid-format"}),
        ({"external-device-identifier": "9" * 129}, {"external-device-identifier": "max-length"}),
        ({"external-device-identifier": "9\x00"}, {"external-device-identifier": "invalid-format"}),
        ({"nickname": ["n"]}, {"nickname": "invalid-format"}),
        ({"nickname": "n" * 65}, {"nickname": "max-length"}),
        ({"nickname": "\ud800"}, {"nickname": "invalid-format"}),
        ({"operating-system": True}, {"operating-system": "invalid-format"}),
        ({"operating-system": "o" * 129}, {"operating-system": "max-length"}),
        ({"brand-name": "b" * 129}, {"brand-name": "max-length"}),
        ({"model-name": {}}, {"model-name": "invalid-format"}),
        ({"push-handle": "h" * 513}, {"push-handle": "max-length"}),
        ({"push-platform": "pigeon"}, {"push-platform": "unknown-enum"}),
        ({"external-device-id-kind": "serial"}, {"external-device-id-kind": "unknown-enum"}),
        # The format is checked before required fields.
        ({"external-device-identifier": "", "nickname": 5}, {"nickname": "invalid-format"}),
        (
            {"model-name": 1, "nickname": "n" * 65, "operating-system": None},
            {"nickname": "max-length", "model-name": "invalid-format"},
        ),
    ],
)
def test_invalid_field_is_400(changes: dict[str, Any], found: dict[str, str], bank: Bank) -> None:
    answer = register(bank, SAMPLE | changes)
    assert (answer.status, answer.body) == (400, errors(**found))
    assert everything() == {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', b"\xff", b"{}" + b" " * 16384, "[" * 9000])
def test_body_that_is_not_an_object_is_400(body: str | bytes, bank: Bank) -> None:
    answer = register(bank, body)
    assert (answer.status, answer.body) == (400, errors(body="invalid-format"))


def test_text_of_maximum_length_is_accepted(bank: Bank) -> None:
    long = {
        "imei": "é" * 128,
        "nickname": "ΐ" * 64,
        "operating-system": "o" * 128,
        "brand-name": "b" * 128,
        "model-name": "m" * 128,
    }
    assert register(bank, long).status == 200
    assert get(bank, "é" * 128).json()["nickname"] == "ΐ" * 64


@pytest.mark.parametrize("customer", [CUSTOMER, OTHER])
@pytest.mark.parametrize("blocked", [False, True])
def test_registered_identifier_is_440_for_any_customer(customer: str, blocked: bool, bank: Bank) -> None:
    register(bank, SAMPLE)
    if blocked:
        block("990000862471854")
    before = everything()
    # Even if the nickname is taken too: the identifier is checked first.
    answer = register(bank, SAMPLE, customer)
    assert (answer.status, answer.body) == (440, IMEI_NOT_UNIQUE)
    assert everything() == before


def test_identifiers_are_compared_after_nfc(bank: Bank) -> None:
    register(bank, SAMPLE | {"external-device-identifier": "e\u0301"})
    answer = register(bank, SAMPLE | {"external-device-identifier": "\u00e9", "nickname": "other"})
    assert answer.body == IMEI_NOT_UNIQUE
    assert get(bank, "\u00e9").json()["imei"] == "e\u0301"


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("nickname", ["My Phone", " my PHONE "])
def test_nickname_of_another_device_of_the_customer_is_440(blocked: bool, nickname: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    if blocked:
        block("990000862471854")
    before = everything()
    answer = register(bank, SAMPLE | {"external-device-identifier": "2", "nickname": nickname})
    assert (answer.status, answer.body) == (440, NICKNAME_NOT_UNIQUE)
    assert everything() == before
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}, OTHER).status == 200


def test_banned_device_cannot_be_registered(bank: Bank) -> None:
    register(bank, SAMPLE)
    unregister(bank, "990000862471854")
    devices.ban("asseco#990000862471854", "stolen")
    before = everything()
    answer = register(bank, SAMPLE)
    assert (answer.status, answer.body) == (440, STATUS_NOT_VALID)
    assert everything() == before


# ── GET /v1/device/devices/{imei} ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ALIASES)
def test_device_has_exactly_the_documented_members(name: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    answer = get(bank, "990000862471854", name=name)
    assert (answer.status, answer.body) == (200, SHOWN)


def test_missing_values_are_null(bank: Bank) -> None:
    register(bank, {"imei": "1", "nickname": "n", "operating-system": "o"})
    assert get(bank, "1").body == (
        '{"imei":"1","customer-id":"MIGR00002","status":"active","nickname":"n","operating-system":"o",'
        '"brand-name":null,"model-name":null,"installation-id":null,"push-id":null,"push-expiration-date":null}'
    )


def test_status_is_returned_as_stored(bank: Bank) -> None:
    register(bank, SAMPLE)
    block("990000862471854")
    assert get(bank, "990000862471854").json()["status"] == "blocked"
    unregister(bank, "990000862471854")
    assert get(bank, "990000862471854").json()["status"] == "unregistered"


@pytest.mark.parametrize("ask", [get, unregister])
@pytest.mark.parametrize("name", ALIASES)
def test_device_of_another_customer_is_answered_as_unknown(ask: Any, name: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    before = everything()
    anothers = ask(bank, "990000862471854", OTHER, name)
    none = ask(bank, "990000862471855", OTHER, name)
    assert (anothers.status, anothers.body, anothers.headers) == (404, UNKNOWN, none.headers)
    assert (none.status, none.body) == (404, UNKNOWN)
    assert everything() == before


@pytest.mark.parametrize("ask", [get, unregister])
@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("identifier", [" ", "9" * 129, "\x07", "\udc80"])
def test_invalid_identifier_is_answered_as_unknown(ask: Any, name: str, identifier: str, bank: Bank) -> None:
    answer = ask(bank, identifier, name=name)
    assert (answer.status, answer.body) == (404, UNKNOWN)


@pytest.mark.parametrize("identifier", ["a/b", "/", ".", ".."])
def test_identifier_that_cannot_be_in_a_path_is_refused(identifier: str, bank: Bank) -> None:
    answer = register(bank, SAMPLE | {"external-device-identifier": identifier})
    assert (answer.status, answer.body) == (400, errors(**{"external-device-identifier": "invalid-format"}))
    assert stored(Table.BINDINGS) == []


@pytest.mark.parametrize("blank", [None, "", " "])
def test_first_nonempty_identifier_field_is_used(blank: str | None, bank: Bank) -> None:
    given = {"external-device-identifier": blank, "external-device-id": blank, "imei": "via-imei"}
    answer = register(bank, SAMPLE | given)
    assert (answer.status, answer.json()["id"]) == (200, "via-imei")


# ── POST /v1/device/devices/{imei}/unregister ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ALIASES)
@pytest.mark.parametrize("blocked", [False, True])
def test_active_or_blocked_device_can_be_unregistered(name: str, blocked: bool, bank: Bank) -> None:
    register(bank, SAMPLE)
    if blocked:
        block("990000862471854")
    answer = unregister(bank, "990000862471854", name=name)
    assert (answer.status, answer.body) == (202, UNREGISTERED)
    assert "Location" not in answer.headers
    (left,) = stored(Table.BINDINGS)
    assert (left["pk"], left["status"], left["holder"]) == (
        "asseco#990000862471854",
        "unregistered",
        "customer#MIGR00002",
    )


def test_unregistering_twice_is_440(bank: Bank) -> None:
    register(bank, SAMPLE)
    unregister(bank, "990000862471854")
    before = everything()
    answer = unregister(bank, "990000862471854")
    assert (answer.status, answer.body) == (440, STATUS_NOT_VALID)
    assert everything() == before


def test_banned_device_can_be_unregistered(bank: Bank) -> None:
    register(bank, SAMPLE)
    devices.ban("asseco#990000862471854", "stolen")
    assert unregister(bank, "990000862471854").status == 202


def test_unregistered_device_keeps_its_owner_until_reregistered(bank: Bank) -> None:
    register(bank, SAMPLE)
    unregister(bank, "990000862471854")
    assert get(bank, "990000862471854").json()["status"] == "unregistered"
    assert get(bank, "990000862471854", OTHER).body == UNKNOWN
    assert register(bank, SAMPLE, OTHER).body == REGISTERED
    assert get(bank, "990000862471854").body == UNKNOWN
    assert unregister(bank, "990000862471854").body == UNKNOWN
    assert get(bank, "990000862471854", OTHER).json()["status"] == "active"
    assert len(stored(Table.BINDINGS)) == 2


def test_unregistering_frees_identifier_and_nickname(bank: Bank) -> None:
    register(bank, SAMPLE)
    first = stored(Table.BINDINGS)[0]["binding"]
    unregister(bank, "990000862471854")
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}).status == 200
    assert register(bank, SAMPLE).body == NICKNAME_NOT_UNIQUE
    assert register(bank, SAMPLE | {"nickname": "Old one"}).status == 200
    assert first not in [item["binding"] for item in stored(Table.BINDINGS)]


# ── GET /v1/device/owned-devices ──────────────────────────────────────────────────────────────────────────────────────


def test_list_shows_devices_like_the_single_request(bank: Bank) -> None:
    assert owned(bank).body == '{"devices":[]}'
    register(bank, SAMPLE)
    register(bank, SAMPLE | {"imei": "5", "external-device-identifier": "5"}, OTHER)
    answer = owned(bank)
    assert (answer.status, answer.body) == (200, f'{{"devices":[{SHOWN}]}}')


@pytest.fixture
def three(bank: Bank) -> None:
    for identifier, nickname, brand in (("1", "c", "Z"), ("2", "a", None), ("3", "b", "Y")):
        given = {"imei": identifier, "nickname": nickname, "operating-system": "o", "brand-name": brand}
        assert register(bank, given).status == 200
    block("2")
    assert unregister(bank, "3").status == 202


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "123"),
        ("device-statuses=", "123"),
        ("device-statuses=active", "1"),
        ("device-statuses=blocked,unregistered", "23"),
        ("device-statuses=active%2C%20active", "1"),
        ("sort-order=desc", "321"),
        ("sort-by=imei&sort-order=asc", "123"),
        ("sort-by=nickname", "231"),
        ("sort-by=nickname&sort-order=desc", "132"),
        ("sort-by=status", "123"),
        ("sort-by=brand-name", "312"),
        ("sort-by=push-id", "123"),
        ("sort-by=customer-id&sort-order=desc", "123"),
        ("page-size=2", "12"),
        ("page=2&page-size=2", "3"),
        ("page=3&page-size=2", ""),
        ("page=&page-size=&sort-by=&sort-order=", "123"),
        ("page-size=100&unknown=1", "123"),
        ("sort-by=nickname%20&sort-order=%20desc&page=%201", "132"),
    ],
)
def test_list_is_filtered_sorted_and_paged(query: str, expected: str, bank: Bank) -> None:
    assert "".join(device["imei"] for device in owned(bank, query).json()["devices"]) == expected


@pytest.mark.parametrize("ask", [owned, issued])
@pytest.mark.parametrize(
    ("query", "tag", "error"),
    [
        ("{0}-statuses=lost", "{0}-statuses", "unknown-enum"),
        ("{0}-statuses=blocked,", "{0}-statuses", "unknown-enum"),
        ("{0}-statuses=blocked&{0}-statuses=blocked", "{0}-statuses", "invalid-format"),
        ("sort-by=holder", "sort-by", "unknown-enum"),
        ("sort-by=state", "sort-by", "unknown-enum"),
        ("sort-order=up", "sort-order", "unknown-enum"),
        ("page=0", "page", "invalid-format"),
        ("page=x", "page", "invalid-format"),
        ("page=1_0", "page", "invalid-format"),
        ("page=1.0", "page", "invalid-format"),
        ("page=%2B1", "page", "invalid-format"),
        ("page=1&page=2", "page", "invalid-format"),
        ("page-size=0", "page-size", "invalid-format"),
        ("page-size=101", "page-size", "invalid-format"),
    ],
)
def test_invalid_query_parameter_is_400(ask: Any, query: str, tag: str, error: str, bank: Bank) -> None:
    kind = "device" if ask is owned else "card"
    answer = ask(bank, query.format(kind))
    assert (answer.status, answer.body) == (400, errors(**{tag.format(kind): error}))


def test_default_page_size_is_ten(bank: Bank) -> None:
    for number in range(12):
        register(bank, {"imei": f"{number:02}", "nickname": str(number), "operating-system": "o"})
    assert [device["imei"] for device in owned(bank).json()["devices"]] == [f"{number:02}" for number in range(10)]
    assert [device["imei"] for device in owned(bank, "page=2").json()["devices"]] == ["10", "11"]


def test_changes_between_pages_do_not_move_earlier_devices(bank: Bank) -> None:
    for identifier in ("8", "3", "9", "5"):
        register(bank, {"imei": identifier, "nickname": identifier, "operating-system": "o"})
    first = owned(bank, "page-size=2").json()["devices"]
    assert [device["imei"] for device in first] == ["8", "3"]
    # First by identifier, last by time of registration.
    register(bank, {"imei": "1", "nickname": "1", "operating-system": "o"})
    block("8")
    unregister(bank, "3")
    pages = [owned(bank, f"page-size=2&page={number}").json()["devices"] for number in (1, 2, 3)]
    assert [[device["imei"] for device in page] for page in pages] == [["8", "3"], ["9", "5"], ["1"]]
    last_first = owned(bank, "sort-order=desc").json()["devices"]
    assert [device["imei"] for device in last_first] == ["1", "5", "9", "3", "8"]


# ── GET /v1/device/issued-devices ─────────────────────────────────────────────────────────────────────────────────────

CARD = (
    '{"device-id":"C-1","kind":"payment-card","holder-id":"MIGR00002","capabilities":["icc","nfc"],"status":"active",'
    '"masked-card-number":"516812******1234","is-primary":true,"card-status":"valid","cardholder-name":"Ana Kos",'
    '"delivery-date":"2026-01-02","activation-date":"2026-01-09","expiration-date":"2099-01-31","card-kind":"debit",'
    '"card-brand":"mastercard","card-image-url":"https://bank.example/card.png"}'
)
TOKEN = '{"device-id":"T-1","kind":"otp-token","holder-id":"MIGR00002","capabilities":["display"],"status":"blocked"}'


def card(device_id: str, **members: Any) -> None:
    issued_devices.enter(CUSTOMER, device_id=device_id, kind="payment-card", **{"card_status": "valid", **members})


@pytest.fixture
def wallet() -> None:
    card(
        "C-1",
        capabilities=["icc", "nfc"],
        masked_card_number="516812******1234",
        is_primary=True,
        cardholder_name="Ana Kos",
        delivery_date="2026-01-02",
        activation_date="2026-01-09",
        expiration_date="2099-01-31",
        card_kind="debit",
        card_brand="mastercard",
        card_image_url="https://bank.example/card.png",
    )
    issued_devices.enter(CUSTOMER, device_id="T-1", kind="otp-token", capabilities=["display"], status="blocked")


@pytest.mark.usefixtures("wallet")
def test_only_cards_have_the_card_members(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1795176000000)
    answer = issued(bank)
    assert (answer.status, answer.body) == (200, f'{{"devices":[{CARD},{TOKEN}]}}')
    assert [get_issued(bank, "C-1").body, get_issued(bank, "T-1").body] == [CARD, TOKEN]
    assert issued(bank, customer=OTHER).body == '{"devices":[]}'


@pytest.mark.usefixtures("wallet")
def test_issued_device_of_another_customer_is_unknown(bank: Bank) -> None:
    anothers, none = get_issued(bank, "C-1", OTHER), get_issued(bank, "C-2", OTHER)
    assert (anothers.status, anothers.body, anothers.headers) == (404, UNKNOWN, none.headers)
    assert (none.status, none.body) == (404, UNKNOWN)
    assert get_issued(bank, " ").body == UNKNOWN


MIDNIGHT = 1795132800  # 2026-11-20T00:00:00Z


@pytest.mark.parametrize(
    ("entered", "last", "shown"),
    [
        ("valid", "2026-11-19", "expired"),
        ("valid", "2026-11-20", "valid"),
        ("valid", None, "valid"),
        ("inactive", "2026-11-19", "expired"),
        ("inactive", "2026-11-21", "inactive"),
        ("blocked", "2026-11-19", "blocked"),
        ("reported-as-lost", "2026-11-19", "reported-as-lost"),
        ("expired", "2026-11-21", "expired"),
    ],
)
def test_card_expires_after_its_last_day_without_a_write(
    entered: str, last: str | None, shown: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    card("C-1", card_status=entered, expiration_date=last)
    before = everything()
    monkeypatch.setattr(clock, "now", lambda: MIDNIGHT * 1000)
    assert get_issued(bank, "C-1").json()["card-status"] == shown
    assert [device["device-id"] for device in issued(bank, f"card-statuses={shown}").json()["devices"]] == ["C-1"]
    assert everything() == before


@pytest.mark.usefixtures("wallet")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["C-1", "C-2", "T-1"]),
        ("card-statuses=blocked", ["C-2"]),
        ("card-statuses=blocked,valid", ["C-1", "C-2"]),
        ("card-statuses=inactive", []),
        ("sort-by=device-id&sort-order=desc", ["T-1", "C-2", "C-1"]),
        ("sort-by=expiration-date", ["C-2", "C-1", "T-1"]),
        ("sort-by=is-primary", ["C-2", "C-1", "T-1"]),
        ("sort-by=capabilities", ["C-2", "T-1", "C-1"]),
        ("sort-by=kind", ["T-1", "C-1", "C-2"]),
        ("page=2&page-size=1", ["C-2"]),
    ],
)
def test_issued_devices_are_filtered_sorted_and_paged(query: str, expected: list[str], bank: Bank) -> None:
    card("C-2", card_status="blocked", is_primary=False, expiration_date="2098-01-31")
    assert [device["device-id"] for device in issued(bank, query).json()["devices"]] == expected


# ── Error rows ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_reason_of_an_operation_has_an_error_row(name: str) -> None:
    operation = template.function(name).load()
    rows = operation.dialect.REFUSALS
    assert operation.refuses | {Reason.NO_ROUTE, Reason.METHOD_NOT_ALLOWED} <= set(rows)
