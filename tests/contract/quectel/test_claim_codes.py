"""bindDeviceSn for products that require claim codes. Other products behave as documented."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import products
from bindery.quectel import claim_codes, families
from bindery.registry import devices, identity
from bindery.security import secrets
from tests import aws_calls, quectel
from tests.concurrency.races import before
from tests.http_api import Response
from tests.quectel import DK, ME, OTHER, PK, SN, World, as_user, bind, owner, refused, share, succeeded
from tests.tables import counts_misses, everything, stored

pytestmark = pytest.mark.usefixtures("registry")

CODE_LIKE = "LK-0000000002"
"""A serial number that ends like a label."""


def code(serial: str = SN, version: int = 1) -> str:
    return claim_codes.of(PK, serial, version)


@pytest.fixture
def labelled(world: World) -> World:
    products.change(PK, claim_codes=True)
    return world


def failures() -> list[int]:
    return [item["failures"] for item in stored(Table.BINDINGS) if counts_misses(item) and "failures" in item]


def test_code_is_50_bits_of_crockford_base32_for_one_device_and_version() -> None:
    assert len({code(), code("SN2"), code(version=2), claim_codes.of("p2", SN, 1)}) == 4
    assert {len(code(str(number))) for number in range(100)} == {10}
    assert {each for number in range(500) for each in code(str(number))} == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert code() == claim_codes.of(f" {PK} ", f" {SN} ", 1)


@pytest.mark.parametrize(
    ("secret", "changed"), [("ClaimSecret", True), ("BindingKeySecret", False), ("DirectorySecret", False)]
)
def test_codes_have_their_own_secret(secret: str, changed: bool) -> None:
    first = code()
    boto3.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="o" * 64)
    secrets.clear_cache()
    assert (code() != first) is changed


def grouped(text: str, separator: str) -> str:
    return f"{text[:5]}{separator}{text[5:]}"


ACCEPTED: dict[str, Callable[[str], dict[str, str]]] = {
    "label": lambda right: {"sn": f"{SN}-{right}"},
    "label in lower case": lambda right: {"sn": f"{SN}-{right.lower()}"},
    "label with a space": lambda right: {"sn": f"{SN}-{grouped(right, ' ')}"},
    "label with a hyphen": lambda right: {"sn": f" {SN} -{grouped(right, '-')} "},
    "parameter": lambda right: {"sn": SN, "claimCode": right},
    "parameter as printed": lambda right: {"sn": SN, "claimCode": f" {grouped(right.lower(), ' - ')} "},
}


@pytest.mark.parametrize("spelled", ACCEPTED)
def test_label_binds_its_device(labelled: World, spelled: str) -> None:
    assert succeeded(as_user(ME, **ACCEPTED[spelled](code())))["dk"] == DK
    assert (owner()["holder"], owner()["pk"]) == (f"user#{ME}", quectel.DEVICE)


def test_similar_letters_are_read_as_digits(labelled: World) -> None:
    serial = next(f"S{number}" for number in range(1000) if {"0", "1"} <= set(code(f"S{number}")))
    devices.manufacture(PK, serial, device_key="ABCD")
    right = code(serial)
    refused(as_user(ME, sn=f"{serial}-{right.replace('1', 'U')}"), 5090)
    succeeded(as_user(ME, sn=f"{serial}-{right.replace('0', 'o').replace('1', 'L')}"))
    refused(as_user(ME, sn=serial, claimCode=right.replace("0", "O").replace("1", "i")), 5049)


REFUSED: dict[str, Callable[[], dict[str, str]]] = {
    "none": dict,
    "blank": lambda: {"claimCode": " "},
    "another device's": lambda: {"sn": f"{SN}-{code('SN2')}"},
    "another device's as a parameter": lambda: {"claimCode": code("SN2")},
    "an earlier version's": lambda: {"sn": f"{SN}-{code(version=2)}"},
    "malformed": lambda: {"claimCode": "1234"},
    "malformed at the end": lambda: {"sn": f"{SN}-{code()[:9]}"},
    "with a letter U": lambda: {"claimCode": f"U{code()[1:]}"},
    "twice": lambda: {"sn": f"{SN}-{code()}-{code()}"},
    "in both places": lambda: {"sn": f"{SN}-{code()}", "claimCode": code()},
    "in other digits": lambda: {"claimCode": "\u0661" * 10},
}


@pytest.mark.parametrize("given", REFUSED)
def test_missing_or_wrong_code_is_refused_like_an_unknown_serial_number(labelled: World, given: str) -> None:
    parameters = {"sn": SN} | REFUSED[given]()
    asked: list[list[str]] = []
    answers = [
        watched(asked, lambda: as_user(ME, **parameters)),
        watched(asked, lambda: as_user(OTHER, **parameters | {"sn": parameters["sn"].replace(SN, "SN-unknown")})),
    ]
    for answer in answers:
        refused(answer, 5090)
    assert answers[0] == answers[1]
    assert asked[0] == asked[1]
    assert failures() == [1, 1]
    assert [item for item in stored(Table.BINDINGS) if not counts_misses(item)] == []


def watched(asked: list[list[str]], ask: Callable[[], Response]) -> Response:
    """Make a request, and add its calls to `asked`, with the tables and number of keys that each is about."""
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for operation in ("BatchGetItem", "GetItem", "TransactWriteItems", "UpdateItem"):
            aws_calls.replace(patch, operation, _noting(made, operation))
        answer = ask()
    asked.append(made)
    return answer


def _noting(made: list[str], operation: str) -> Callable[..., Any]:
    real = aws_calls.real(operation)

    def call(**request: Any) -> Any:
        tables = {table: len(of["Keys"]) for table, of in request.get("RequestItems", {}).items()}
        made.append(f"{operation} {tables} {len(request.get('TransactItems', ()))}")
        return real(**request)

    return call


STATES: dict[str, Callable[[World], object]] = {
    "banned": lambda world: devices.ban(quectel.DEVICE, "stolen"),
    "disabled": quectel.disabled,
    "without a device key": quectel.no_device_key,
    "in another data center": quectel.other_data_center,
    "bound by its user": lambda world: succeeded(as_user(ME, sn=f"{SN}-{code()}")),
    "bound by another user": lambda world: succeeded(as_user(OTHER, sn=f"{SN}-{code()}")),
}


@pytest.mark.parametrize("state", STATES)
def test_wrong_code_does_not_reveal_the_state_of_the_device(labelled: World, state: str) -> None:
    STATES[state](labelled)
    for given in REFUSED.values():
        refused(as_user(ME, **{"sn": SN} | given()), 5090)


@pytest.mark.parametrize(("state", "expected"), [*zip(STATES, [5009, 5009, 5067, 6083, 5049, 5412], strict=True)])
def test_right_code_gets_the_documented_refusals(labelled: World, state: str, expected: int) -> None:
    STATES[state](labelled)
    refused(as_user(ME, sn=f"{SN}-{code()}"), expected)


@pytest.mark.parametrize("by_label", [True, False])
def test_serial_number_that_ends_like_a_code_has_a_label_too(labelled: World, by_label: bool) -> None:
    devices.manufacture(PK, CODE_LIKE, device_key="ABCD")
    refused(as_user(ME, sn=CODE_LIKE), 5090)
    right = code(CODE_LIKE)
    succeeded(as_user(ME, **{"sn": f"{CODE_LIKE}-{right}"} if by_label else {"sn": CODE_LIKE, "claimCode": right}))
    succeeded(as_user(ME, sn=f"{SN}-{code()}"))


def test_bound_devices_are_kept_when_codes_become_required(world: World) -> None:
    succeeded(world.ask())
    share(ME, OTHER, clock.seconds() + 60)
    kept = stored(Table.BINDINGS)
    products.change(PK, claim_codes=True)
    assert stored(Table.BINDINGS) == kept
    listed = quectel.ask(ME, "user_device_list").json()["data"]["list"]
    assert [device["sn"] for device in listed] == [SN]
    assert quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK).json()["code"] == 200
    refused(as_user(ME), 5090)


def test_new_version_ends_earlier_labels(labelled: World) -> None:
    products.change(PK, claim_version=2)
    refused(as_user(ME, sn=f"{SN}-{code()}"), 5090)
    succeeded(as_user(ME, sn=f"{SN}-{code(version=2)}"))


def test_version_is_kept_while_codes_are_not_required(labelled: World) -> None:
    products.change(PK, claim_version=3)
    products.change(PK, claim_codes=False)
    products.change(PK, claim_codes=True)
    refused(as_user(ME, claimCode=code()), 5090)
    succeeded(as_user(ME, claimCode=code(version=3)))


CHANGED: list[tuple[dict[str, Any], dict[str, Any], Callable[[], dict[str, str]], int]] = [
    ({}, {"claim_codes": True}, lambda: {"claimCode": code()}, 200),
    ({}, {"claim_codes": True}, lambda: {"claimCode": "wrong"}, 5090),
    ({}, {"claim_codes": True}, lambda: {"sn": CODE_LIKE}, 5090),
    ({"claim_codes": True}, {"claim_codes": False}, lambda: {"claimCode": code()}, 200),
    ({"claim_codes": True}, {"claim_codes": False}, lambda: {"sn": f"{SN}-{code()}"}, 5090),
    ({"claim_codes": True}, {"claim_version": 2}, lambda: {"sn": f"{SN}-{code()}"}, 5090),
    ({"claim_codes": True, "claim_version": 2}, {"claim_version": 3}, lambda: {"claimCode": code(version=2)}, 5090),
]
"""Settings before and after a concurrent change, a request that is right before it, and the code of its repetition."""


@pytest.mark.parametrize(("read", "now", "given", "repeated"), CHANGED, ids=list(map(str, range(len(CHANGED)))))
def test_setting_that_changes_during_a_bind_refuses_it(
    world: World,
    read: dict[str, Any],
    now: dict[str, Any],
    given: Callable[[], dict[str, str]],
    repeated: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices.manufacture(PK, CODE_LIKE, device_key="ABCD")
    products.change(PK, **read)  # type: ignore[arg-type]
    after: list[Any] = []
    before(
        monkeypatch,
        "TransactWriteItems",
        lambda: (products.change(PK, **now), after.append(everything())),  # type: ignore[arg-type]
    )
    answer = as_user(ME, **{"sn": SN} | given())
    refused(answer, 5048)
    assert answer.headers["Retry-After"] == "1"
    assert [everything()] == after
    assert as_user(ME, **{"sn": SN} | given()).json()["code"] == repeated


def test_setting_changed_during_a_documented_request_applies_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(monkeypatch, "TransactWriteItems", lambda: products.change(PK, claim_codes=True))
    succeeded(as_user(ME))


@pytest.mark.parametrize("setting", [{}, {"claim_codes": False, "claim_version": 2}])
@pytest.mark.parametrize(
    "query", ["claimCode=x", "claimCode=a&claimCode=b", "claimCode=%FF", "claimCode=", "claimCode"]
)
def test_parameter_is_ignored_if_codes_are_not_required(world: World, setting: dict[str, Any], query: str) -> None:
    products.change(PK, **setting)  # type: ignore[arg-type]
    succeeded(bind(world.token, f"pk={PK}&sn={SN}&{query}"))
    assert owner()["holder"] == f"user#{ME}"


def test_serial_number_that_ends_like_a_code_is_one_device(world: World) -> None:
    devices.manufacture(PK, CODE_LIKE, device_key="ABCD")
    succeeded(as_user(ME, sn=CODE_LIKE))
    assert owner()["pk"] == identity.manufactured_device(PK, CODE_LIKE)
    refused(as_user(ME, sn=f"{SN}-{code()}"), 5090)


def test_full_common_list_is_5893_only_with_the_right_code(labelled: World) -> None:
    labelled.at_home()
    quectel.fill("F1", families.COMMON_LIMIT)
    refused(as_user(ME, fid="F1"), 5090)
    refused(as_user(ME, fid="F1", claimCode=code()), 5893)
