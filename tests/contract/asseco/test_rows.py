"""asseco: exact responses of each operation, and the items it writes."""

from typing import Any

import pytest

from bindery.asseco import issued_devices
from bindery.aws.dynamodb import Table
from bindery.core import clock
from tests.asseco import (
    FORBIDDEN,
    IMEI,
    IMEI_NOT_UNIQUE,
    NICKNAME_NOT_UNIQUE,
    REGISTERED,
    SAMPLE,
    UNKNOWN,
    UNREGISTERED,
    bearer,
    block,
    card,
    get,
    get_issued,
    issued,
    owned,
    register,
    unregister,
)
from tests.openid import CUSTOMER, OTHER, Bank
from tests.sample_requests import send
from tests.tables import NOTHING, everything, stored
from tools import template

SHOWN = (
    '{"imei":"990000862471854","customer-id":"MIGR00002","status":"active","nickname":"My Phone",'
    '"operating-system":"iOS 9.x","brand-name":"Apple IPhone","model-name":"IP-6S","installation-id":null,'
    '"push-id":null,"push-expiration-date":null}'
)
ALIASES = ("imei", "device-id")
"""Names of the path parameter."""


OPERATIONS = [function.name for function in template.functions() if function.name.startswith("asseco.")]
LIST, REGISTER = "asseco.list_owned_devices", "asseco.register_owned_device"
NO_TOKEN = '{"problem":"unauthorized","message":"An access token is required"}'
BAD_TOKEN = '{"problem":"unauthorized","message":"The access token is not valid"}'


@pytest.mark.parametrize(
    ("authorization", "error", "body"),
    [
        *((text, "", NO_TOKEN) for text in ("", "bearer ", "Basic YTpi")),
        *((f"bearer {text}", ', error="invalid_token"', BAD_TOKEN) for text in ("ASSECO_TOKEN", "{0},{0}")),
    ],
)
def test_token_is_required(authorization: str, error: str, body: str, bank: Bank) -> None:
    answer = send(LIST, {"authorization": authorization.format(bank.token())})
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, f'Bearer realm="device"{error}')
    assert answer.body == body


@pytest.mark.parametrize("customer", [None, "", " ", 7, ["MIGR00002"], "C" * 257, "a\nb", "\ud800"])
def test_token_without_customer_is_401(customer: Any, bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, CUSTOMER_CLAIM="customer")
    assert send(LIST, bearer(bank.token(customer=customer))).body == BAD_TOKEN


def test_customer_is_read_from_the_configured_claim(bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, CUSTOMER_CLAIM="customer")
    headers = {"authorization": f"BEARER  {bank.token(sub='somebody', customer='C' * 256)}"}
    send(REGISTER, headers, body=SAMPLE)
    assert send("asseco.get_device", headers, path={"imei": IMEI}).json()["customer-id"] == "C" * 256


@pytest.mark.parametrize("name", OPERATIONS)
def test_missing_scope_is_403(name: str, bank: Bank, environment: pytest.MonkeyPatch) -> None:
    bank.trusted(environment, READ_SCOPE="read", WRITE_SCOPE="write")
    needed, other = ("read", "write") if name.startswith(("asseco.get_", "asseco.list_")) else ("write", "read")
    for scope in (None, "", other, f"{needed}er {other}", [other], {needed: True}, 5):
        answer = send(name, bearer(bank.token(scope=scope, scp=scope)))
        challenge = answer.headers["WWW-Authenticate"]
        assert (answer.status, challenge) == (403, 'Bearer realm="device", error="insufficient_scope"')
        assert answer.body == FORBIDDEN
    assert everything() == NOTHING
    for scope in (needed, f"{other} {needed}", [other, needed]):
        for claims in ({"scope": scope}, {"scp": scope}, {"scope": other, "scp": scope}):
            assert send(name, bearer(bank.token(**claims))).status not in (401, 403)


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
        block()
    before = everything()
    # Even if the nickname is taken too: the identifier is checked first.
    answer = register(bank, SAMPLE, customer)
    assert (answer.status, answer.body) == (440, IMEI_NOT_UNIQUE)
    assert everything() == before


@pytest.mark.parametrize(
    ("given", "identifier"),
    [
        ({"external-device-identifier": "a", "external-device-id": "b", "imei": "c"}, "a"),
        ({"external-device-id": "b", "imei": "c"}, "b"),
        ({"imei": "c"}, "c"),
        *(
            ({"external-device-identifier": blank, "external-device-id": blank, "imei": "c"}, "c")
            for blank in (None, "", " ")
        ),
    ],
)
def test_first_nonempty_identifier_field_is_used(given: dict[str, str | None], identifier: str, bank: Bank) -> None:
    answer = register(bank, given | {"nickname": "n", "operating-system": "o"})
    assert answer.body == f'{{"id":"{identifier}","CreatedRecordStatus":"active"}}'
    assert get(bank, identifier).status == 200


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("nickname", ["My Phone", " my PHONE "])
def test_nickname_of_another_device_of_the_customer_is_440(blocked: bool, nickname: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    if blocked:
        block()
    before = everything()
    answer = register(bank, SAMPLE | {"external-device-identifier": "2", "nickname": nickname})
    assert (answer.status, answer.body) == (440, NICKNAME_NOT_UNIQUE)
    assert everything() == before
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}, OTHER).status == 200


@pytest.mark.parametrize("by", ALIASES)
def test_device_has_exactly_the_documented_members(by: str, bank: Bank) -> None:
    assert owned(bank).body == '{"devices":[]}'
    register(bank, SAMPLE)
    answer = get(bank, by=by)
    assert (answer.status, answer.body) == (200, SHOWN)
    assert owned(bank).body == f'{{"devices":[{SHOWN}]}}'


@pytest.mark.parametrize("by", ALIASES)
@pytest.mark.parametrize("blocked", [False, True])
def test_active_or_blocked_device_can_be_unregistered(by: str, blocked: bool, bank: Bank) -> None:
    register(bank, SAMPLE)
    if blocked:
        block()
    assert get(bank).json()["status"] == ("blocked" if blocked else "active")
    answer = unregister(bank, by=by)
    assert (answer.status, answer.body) == (202, UNREGISTERED)
    assert "Location" not in answer.headers
    (left,) = stored(Table.BINDINGS)
    assert (left["pk"], left["status"], left["holder"]) == (
        "asseco#990000862471854",
        "unregistered",
        "customer#MIGR00002",
    )


def test_unregistered_device_keeps_its_owner_until_reregistered(bank: Bank) -> None:
    register(bank, SAMPLE)
    unregister(bank)
    assert get(bank).json()["status"] == "unregistered"
    assert get(bank, IMEI, OTHER).body == UNKNOWN
    assert register(bank, SAMPLE, OTHER).body == REGISTERED
    assert get(bank).body == UNKNOWN
    assert unregister(bank).body == UNKNOWN
    assert get(bank, IMEI, OTHER).json()["status"] == "active"
    assert len(stored(Table.BINDINGS)) == 2


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


def test_default_page_size_is_ten(bank: Bank) -> None:
    for number in range(12):
        register(bank, {"imei": f"{number:02}", "nickname": str(number), "operating-system": "o"})
    shown = [[device["imei"] for device in owned(bank, query).json()["devices"]] for query in ("", "page=2")]
    assert shown == [[f"{number:02}" for number in range(10)], ["10", "11"]]


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


CARD = (
    '{"device-id":"C-1","kind":"payment-card","holder-id":"MIGR00002","capabilities":["icc","nfc"],"status":"active",'
    '"masked-card-number":"516812******1234","is-primary":true,"card-status":"valid","cardholder-name":"Ana Kos",'
    '"delivery-date":"2026-01-02","activation-date":"2026-01-09","expiration-date":"2099-01-31","card-kind":"debit",'
    '"card-brand":"mastercard","card-image-url":"https://bank.example/card.png"}'
)
TOKEN = '{"device-id":"T-1","kind":"otp-token","holder-id":"MIGR00002","capabilities":["display"],"status":"blocked"}'


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


def test_unknown_members_of_a_card_are_absent(bank: Bank) -> None:
    card("C-1", masked_card_number="516812******1234")
    shown = get_issued(bank, "C-1").body
    assert shown == (
        '{"device-id":"C-1","kind":"payment-card","holder-id":"MIGR00002","capabilities":[],"status":"active",'
        '"masked-card-number":"516812******1234","card-status":"valid"}'
    )
    assert issued(bank).body == f'{{"devices":[{shown}]}}'


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
