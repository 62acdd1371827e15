"""asseco: exact responses of each operation, and the items it writes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bindery.asseco import issued_devices, owned_devices
from bindery.asseco.issued_devices import Capability, CardKind, CardStatus, Kind
from bindery.asseco.owned_devices import IdentifierKind, PushPlatform, Status
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Delete, Key, Table
from bindery.core import clock
from bindery.registry import devices, identity, items
from tests import asseco, aws_calls, calls
from tests.asseco import IMEI, PUSH, SAMPLE, UNKNOWN, ask, block, card, get, get_issued, issued, register, unregister
from tests.concurrency import races
from tests.http_api import Response
from tests.openid import CUSTOMER, OTHER, Bank
from tests.sample_requests import send
from tests.tables import NOTHING, everything, stored
from tools import template

SHOWN = (
    '{"imei":"990000862471854","customer-id":"MIGR00002","status":"active","nickname":"My Phone",'
    '"operating-system":"iOS 9.x","brand-name":"Apple IPhone","model-name":"IP-6S","installation-id":null,'
    '"push-id":null,"push-expiration-date":null}'
)


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
    assert send(LIST, asseco.bearer(bank.token(customer=customer))).body == BAD_TOKEN


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
        answer = send(name, asseco.bearer(bank.token(scope=scope, scp=scope)))
        challenge = answer.headers["WWW-Authenticate"]
        assert (answer.status, challenge) == (403, 'Bearer realm="device", error="insufficient_scope"')
        assert answer.body == asseco.FORBIDDEN
    assert everything() == NOTHING
    for scope in (needed, f"{other} {needed}", [other, needed]):
        for claims in ({"scope": scope}, {"scp": scope}, {"scope": other, "scp": scope}):
            assert send(name, asseco.bearer(bank.token(**claims))).status not in (401, 403)


def test_documented_sample_registers_the_device(bank: Bank) -> None:
    answer = register(bank, SAMPLE)
    assert (answer.status, answer.body) == (200, asseco.REGISTERED)
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
        **dict.fromkeys(("installation_id", "push_platform", "push_handle", "push_id", "push_expiration_date")),
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
    expected = {"holder": "customer#MIGR00002", "status": "active", "nickname": "Tablet", "identifier_kind": "app-id"}
    expected |= {"push_platform": "gcm", "push_handle": "h" * 512}
    expected |= dict.fromkeys(("brand_name", "model_name", "installation_id"))
    assert stored(Table.BINDINGS)[0].items() >= expected.items()


def test_text_of_maximum_length_is_accepted(bank: Bank) -> None:
    long = dict.fromkeys(("operating-system", "brand-name", "model-name"), "o" * 128)
    long |= {"imei": "é" * 128, "nickname": "ΐ" * 64}
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
    assert (answer.status, answer.body) == (440, asseco.IMEI_NOT_UNIQUE)
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
    assert (answer.status, answer.body) == (440, asseco.NICKNAME_NOT_UNIQUE)
    assert everything() == before
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}, OTHER).status == 200


@pytest.mark.parametrize("by", ["imei", "device-id"])
def test_device_has_exactly_the_documented_members(by: str, bank: Bank) -> None:
    assert asseco.owned(bank).body == '{"devices":[]}'
    register(bank, SAMPLE)
    answer = get(bank, by=by)
    assert (answer.status, answer.body) == (200, SHOWN)
    assert asseco.owned(bank).body == f'{{"devices":[{SHOWN}]}}'


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
        *((query, "123") for query in ("sort-by=status", "sort-by=push-id", "sort-by=customer-id&sort-order=desc")),
        ("sort-by=brand-name", "312"),
        ("page-size=2", "12"),
        ("page=2&page-size=2", "3"),
        ("page=3&page-size=2", ""),
        ("page=&page-size=&sort-by=&sort-order=", "123"),
        ("page-size=100&unknown=1", "123"),
        ("sort-by=nickname%20&sort-order=%20desc&page=%201", "132"),
    ],
)
def test_list_is_filtered_sorted_and_paged(query: str, expected: str, bank: Bank) -> None:
    assert "".join(device["imei"] for device in asseco.owned(bank, query).json()["devices"]) == expected


def test_default_page_size_is_ten(bank: Bank) -> None:
    for number in range(12):
        register(bank, {"imei": f"{number:02}", "nickname": str(number), "operating-system": "o"})
    shown = [[device["imei"] for device in asseco.owned(bank, query).json()["devices"]] for query in ("", "page=2")]
    assert shown == [[f"{number:02}" for number in range(10)], ["10", "11"]]


def test_changes_between_pages_do_not_move_earlier_devices(bank: Bank) -> None:
    for identifier in ("8", "3", "9", "5"):
        register(bank, {"imei": identifier, "nickname": identifier, "operating-system": "o"})
    first = asseco.owned(bank, "page-size=2").json()["devices"]
    assert [device["imei"] for device in first] == ["8", "3"]
    # First by identifier, last by time of registration.
    register(bank, {"imei": "1", "nickname": "1", "operating-system": "o"})
    block("8")
    unregister(bank, "3")
    pages = [asseco.owned(bank, f"page-size=2&page={number}").json()["devices"] for number in (1, 2, 3)]
    assert [[device["imei"] for device in page] for page in pages] == [["8", "3"], ["9", "5"], ["1"]]
    last_first = asseco.owned(bank, "sort-order=desc").json()["devices"]
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
        *((f"sort-by={name}", ["C-2", "C-1", "T-1"]) for name in ("expiration-date", "is-primary")),
        ("sort-by=capabilities", ["C-2", "T-1", "C-1"]),
        ("sort-by=kind", ["T-1", "C-1", "C-2"]),
        ("page=2&page-size=1", ["C-2"]),
    ],
)
def test_issued_devices_are_filtered_sorted_and_paged(query: str, expected: list[str], bank: Bank) -> None:
    card("C-2", card_status="blocked", is_primary=False, expiration_date="2098-01-31")
    assert [device["device-id"] for device in issued(bank, query).json()["devices"]] == expected


NOW = 1795176000123
EXPIRES = "2027-02-18T12:00:00Z"
DAY = 24 * 3600 * 1000


def rename(bank: Bank, body: Any) -> Response:
    return ask(bank, "set_nickname", IMEI, body)


def push(bank: Bank, body: Any) -> Response:
    return ask(bank, "set_push_handle", IMEI, body)


def name_issued(bank: Bank, body: Any, identifier: str = "C-1") -> Response:
    return ask(bank, "set_issued_nickname", identifier, body)


def show(bank: Bank, schema_id: str) -> Response:
    return ask(bank, "get_classification", schema_id, by="schema-id")


def done(answer: Response) -> None:
    assert (answer.status, answer.body, answer.headers) == (204, "", {"x-request-id": "request-1"})


def binding() -> dict[str, Any]:
    return next(item for item in stored(Table.BINDINGS) if item["sk"] == "owner")


@pytest.mark.parametrize(
    ("name", "body", "statuses"),
    [
        ("unregister_device", None, {"active", "blocked"}),
        ("set_nickname", {"nickname": "New"}, {"active", "blocked"}),
        ("set_push_handle", PUSH, {"active"}),
        ("block_device", None, {"active"}),
        ("unblock_device", None, {"blocked"}),
    ],
)
@pytest.mark.parametrize("status", Status)
def test_operation_in_wrong_device_status_is_440(
    name: str, body: Any, statuses: set[str], status: Status, bank: Bank
) -> None:
    register(bank, SAMPLE)
    if status is Status.BLOCKED:
        block()
    if status is Status.UNREGISTERED:
        unregister(bank)
    before, shown = everything(), binding()
    answer = ask(bank, name, IMEI, body)
    if status not in statuses:
        assert (answer.status, answer.body) == (440, asseco.STATUS_NOT_VALID)
        assert everything() == before
    elif name == "unregister_device":
        assert (answer.status, answer.body) == (202, asseco.UNREGISTERED)
    else:
        done(answer)
    if status in statuses and name.endswith("block_device"):
        assert binding() == shown | {"status": "active" if status == "blocked" else "blocked"}


def test_renaming_changes_only_the_nickname(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = binding()
    done(rename(bank, {"nickname": " Old one ", "status": "blocked"}))
    assert binding() == before | {"nickname": "Old one"}
    assert stored(Table.BINDINGS)[1] == {
        "pk": "customer#MIGR00002",
        "sk": "nickname#old one",
        "device": f"asseco#{IMEI}",
        "binding": before["binding"],
    }
    assert get(bank, IMEI).json()["nickname"] == "Old one"
    # The previous nickname is free again.
    assert register(bank, SAMPLE | {"external-device-identifier": "2"}).status == 200


@pytest.mark.parametrize("nickname", ["MY PHONE", "My Phone"])
def test_nickname_changed_only_in_case_keeps_its_lock(nickname: str, bank: Bank) -> None:
    register(bank, SAMPLE)
    before, bound = everything()["BINDINGS"], binding()
    done(rename(bank, {"nickname": nickname}))
    assert stored(Table.BINDINGS) == [bound | {"nickname": nickname}, *before[1:]]


def test_first_nonempty_nickname_field_is_used(bank: Bank) -> None:
    register(bank, SAMPLE)
    for number, body in enumerate(({"nick-name": "n0"}, {"nickname": "n1", "nick-name": "x"})):
        done(rename(bank, body))
        assert binding()["nickname"] == f"n{number}"
    done(rename(bank, {"nickname": " ", "nick-name": "n2"}))
    assert binding()["nickname"] == "n2"


@pytest.mark.parametrize("blocked", [False, True])
def test_renaming_to_a_nickname_of_another_device_is_440(blocked: bool, bank: Bank) -> None:
    register(bank, SAMPLE)
    register(bank, SAMPLE | {"external-device-identifier": "2", "nickname": "Tablet"})
    register(bank, SAMPLE | {"external-device-identifier": "3", "nickname": "Watch"}, OTHER)
    if blocked:
        block("2")
    before = everything()
    answer = rename(bank, {"nickname": "tablet"})
    assert (answer.status, answer.body) == (440, asseco.NICKNAME_NOT_UNIQUE)
    assert everything() == before
    done(rename(bank, {"nickname": "Watch"}))
    unregister(bank, "2")
    done(rename(bank, {"nickname": "Tablet"}))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    times = [NOW]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


@pytest.mark.usefixtures("now")
def test_push_registration_gets_an_id_and_lasts_90_days(bank: Bank) -> None:
    register(bank, SAMPLE)
    before = binding()
    done(push(bank, PUSH | {"push-id": "mine"}))
    after = binding()
    assert after == before | {
        "push_platform": "apns",
        "push_handle": "740f4707",
        "push_id": after["push_id"],
        "push_expiration_date": NOW + 90 * DAY,
    }
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (after["push_id"], EXPIRES)
    assert len(after["push_id"]) == 32


@pytest.mark.usefixtures("now")
def test_registering_with_push_fields_registers_for_push(bank: Bank) -> None:
    register(bank, SAMPLE | {"push-platform": "apns", "push-handle": "740f4707"})
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (binding()["push_id"], EXPIRES)
    assert push(bank, PUSH).body == asseco.PUSH_EXISTS


@pytest.mark.parametrize("half", [{"push-platform": "apns"}, {"push-handle": "740f4707"}])
def test_push_registration_needs_platform_and_handle(half: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE | half)
    shown = get(bank, IMEI).json()
    assert (shown["push-id"], shown["push-expiration-date"]) == (None, None)
    done(push(bank, PUSH))


def test_same_push_handle_is_440_until_it_expires(bank: Bank, now: list[int]) -> None:
    register(bank, SAMPLE)
    done(push(bank, PUSH))
    first, before = binding()["push_id"], everything()
    now[0] = NOW + 90 * DAY - 1
    answer = push(bank, PUSH)
    assert (answer.status, answer.body) == (440, asseco.PUSH_EXISTS)
    assert everything() == before
    now[0] += 1
    done(push(bank, PUSH))
    assert binding()["push_expiration_date"] == NOW + 180 * DAY
    assert binding()["push_id"] != first


@pytest.mark.parametrize("change", [{"push-platform": "gcm"}, {"pns-handle": "h" * 512}])
def test_new_platform_or_handle_replaces_the_last(change: dict[str, str], bank: Bank) -> None:
    register(bank, SAMPLE)
    done(push(bank, PUSH))
    first = binding()["push_id"]
    done(push(bank, PUSH | change))
    after = binding()
    assert {"push-platform": after["push_platform"], "pns-handle": after["push_handle"]} == PUSH | change
    assert after["push_id"] != first


def test_push_handle_accepts_the_registration_field_name(bank: Bank) -> None:
    register(bank, SAMPLE)
    done(push(bank, {"push-platform": " wns ", "pns-handle": "", "push-handle": "h"}))
    assert (binding()["push_platform"], binding()["push_handle"]) == ("wns", "h")


def test_issued_device_shows_its_nickname_once_set(bank: Bank) -> None:
    card("C-1", status="blocked")
    issued_devices.enter(CUSTOMER, device_id="T-1", kind="otp-token")
    assert "nickname" not in get_issued(bank, "C-1").json()
    before = stored(Table.DIRECTORY)[0]
    done(name_issued(bank, {"nickname": " Holiday card ", "status": "active"}))
    assert stored(Table.DIRECTORY)[0] == before | {"nickname": "Holiday card"}
    shown = get_issued(bank, "C-1").json()
    assert (shown["nickname"], shown["status"]) == ("Holiday card", "blocked")
    assert issued(bank, "sort-by=nickname").json()["devices"][0] == shown
    # It need not be unique and can be set again.
    done(name_issued(bank, {"nick-name": "Holiday card"}, "T-1"))
    done(name_issued(bank, {"nick-name": "Holiday card"}, "T-1"))
    assert [device["nickname"] for device in issued(bank).json()["devices"]] == ["Holiday card"] * 2


SCHEMAS = {
    "device-kinds": Kind,
    "device-capabilities": Capability,
    "device-statuses": Status,
    "card-statuses": CardStatus,
    "card-kinds": CardKind,
    "device-id-kinds": IdentifierKind,
    "push-platforms": PushPlatform,
}


def test_classifications_are_listed_without_values(bank: Bank) -> None:
    answer = send("asseco.list_classifications", asseco.bearer(bank.token()))
    assert answer.status == 200
    assert answer.body.startswith(
        '{"items":[{"schema-id":"device-kinds","name":"Device Kinds","description":"What the bank issues"},{'
    )
    listed = answer.json()["items"]
    assert [found["schema-id"] for found in listed] == list(SCHEMAS)
    for info, values in zip(listed, SCHEMAS.values(), strict=True):
        shown = show(bank, info["schema-id"]).json()
        assert list(shown.items())[:-1] == list(info.items())
        assert [value["literal"] for value in shown["values"]] == list(values)
        assert all(value.keys() == {"literal", "description"} and value["description"] for value in shown["values"])


@pytest.mark.parametrize("schema_id", ["card-brands", " ", "Device-Kinds", "\udc80"])
def test_unknown_classification_is_404(schema_id: str, bank: Bank) -> None:
    answer = show(bank, schema_id)
    assert (answer.status, answer.body) == (
        404,
        '{"problem":"classification-not-exist","message":"The classification does not exist"}',
    )


GIVEN = {"nickname": "My Phone", "kind": IdentifierKind.IMEI, "operating_system": "iOS 9.x"} | dict.fromkeys(
    ("brand_name", "model_name", "push_platform", "push_handle")
)
NEW = {"nickname": "New"}
HANDLE = {"push-platform": "apns", "pns-handle": "h"}


def entered(who: str = CUSTOMER, identifier: str = IMEI, **changes: Any) -> None:
    owned_devices.register(who, identifier, **{**GIVEN, **changes})


BLOCK = partial(owned_devices.block, CUSTOMER, IMEI)
PUSHED = partial(owned_devices.set_push_handle, CUSTOMER, IMEI, PushPlatform.APNS, "h")
END = partial(owned_devices.unregister, CUSTOMER, IMEI)


def passed_on() -> None:
    END()
    entered(OTHER)


def banned() -> None:
    dynamodb.write(devices.seen(asseco.DEVICE, "asseco"))
    devices.ban(asseco.DEVICE, "stolen")


def requested(bank: Bank, name: str) -> Response:
    if name == "register_owned_device":
        return register(bank, SAMPLE)
    return ask(bank, name, IMEI, {"set_nickname": NEW, "set_push_handle": HANDLE}.get(name))


NOT_VALID, NOT_EXIST = (440, "device-status-not-valid"), (404, "device-not-exist")
REFUSED: list[tuple[str, Callable[[], object], tuple[int, str]]] = [
    ("register_owned_device", entered, (440, "imei-not-unique")),
    ("register_owned_device", lambda: entered(OTHER), (440, "imei-not-unique")),
    ("register_owned_device", lambda: entered(identifier="another"), (440, "nickname-not-unique")),
    ("register_owned_device", banned, NOT_VALID),
    ("set_nickname", lambda: entered(identifier="another", nickname="new"), (440, "nickname-not-unique")),
    ("set_nickname", lambda: (END(), entered()), (503, "service-unavailable")),
    ("set_push_handle", PUSHED, (440, "valid-push-registration-exist")),
    ("set_push_handle", BLOCK, NOT_VALID),
    ("block_device", BLOCK, NOT_VALID),
    ("unblock_device", partial(owned_devices.unblock, CUSTOMER, IMEI), NOT_VALID),
    *(
        (name, happen, refusal)
        for name in ("unregister_device", "set_nickname", "set_push_handle", "block_device", "unblock_device")
        for happen, refusal in ((END, NOT_VALID), (passed_on, NOT_EXIST))
    ),
]


@pytest.mark.parametrize(("name", "happen", "refusal"), REFUSED)
def test_change_just_before_the_write_gives_its_refusal(
    name: str, happen: Callable[[], object], refusal: tuple[int, str], bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "register_owned_device":
        entered()
    if name == "unblock_device":
        BLOCK()
    after: list[Any] = []
    races.before(monkeypatch, "TransactWriteItems", lambda: (happen(), after.append(everything())))
    answer = requested(bank, name)
    assert (answer.status, answer.json()["problem"]) == refusal
    assert [everything()] == after


@pytest.mark.parametrize("name", ["unregister_device", "set_nickname"])
def test_nickname_lock_of_another_device_is_not_removed(name: str, bank: Bank) -> None:
    entered()
    dynamodb.write(items.nickname_lock(CUSTOMER, "My Phone").update(set={"binding": "another's"}))
    before = everything()
    assert requested(bank, name).status == 503
    assert everything() == before


def test_issued_device_erased_concurrently_gets_no_nickname(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Key(Table.DIRECTORY, identity.customer_holder(CUSTOMER), f"issued#{IMEI}")
    dynamodb.write(place.update(set={"kind": "otp-token"}))
    races.before(monkeypatch, "UpdateItem", lambda: dynamodb.write(Delete(place)))
    answer = ask(bank, "set_issued_nickname", IMEI, NEW)
    assert (answer.status, answer.body) == (404, UNKNOWN)
    assert stored(Table.DIRECTORY) == []


def test_list_takes_at_most_two_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        entered(identifier=f"{number}", nickname=f"{number}")
    query = aws_calls.real("Query")
    aws_calls.replace(monkeypatch, "Query", lambda **request: query(**request, Limit=2))
    with calls.recording("asseco.list_owned_devices") as invocation:
        assert [device.identifier for device in owned_devices.list_devices(CUSTOMER)] == ["0", "1", "2", "3"]
    assert invocation.dynamodb == ["Query", "Query"]
