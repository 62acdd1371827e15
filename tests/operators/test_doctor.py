"""The doctor: a healthy installation, whatever can be wrong with one, and that nothing is left behind."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, settings
from bindery.operators import doctor
from bindery.registry import devices, identity
from bindery.rufus import company_devices
from bindery.vodlix import video_devices
from tests.http_api import admin
from tests.openid import Bank
from tests.tables import everything
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

NOTHING: dict[str, list[Any]] = {"DEVICES": [], "BINDINGS": [], "DIRECTORY": []}
DIALECTS = ["rufus", "quectel", "asseco", "remoteit", "vodlix"]


def ask() -> dict[str, Any]:
    answer = admin("doctor", "POST", "doctor")
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    assert found["healthy"] == all(check["healthy"] for check in found["checks"])
    for secret in doctor.SECRETS:
        assert f"{env.read(secret)}-" not in answer.body
    return found


def ill(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in found["checks"] if not check["healthy"]}


def fail(*_: object, **__: object) -> Any:
    raise Refused(Reason.UNAVAILABLE)


def test_a_healthy_installation_is_said_to_be_and_left_as_it_was() -> None:
    found = ask()
    assert ill(found) == {}
    assert [check["name"] for check in found["checks"]] == [
        "table directory",
        "table devices",
        "table bindings",
        "index by_serial",
        "index by_holder",
        "index by_proxy",
        "index by_list",
        "secret device_id",
        "secret binding_key",
        "secret quectel_session",
        "secret remoteit_session",
        "secret directory",
        "format",
        "issuer",
        "clock",
        "leftovers",
        *DIALECTS,
        "tidying up",
    ]
    assert "not configured" in next(check["detail"] for check in found["checks"] if check["name"] == "issuer")
    assert everything() == NOTHING


def test_the_doctor_looks_at_every_index_and_secret_of_the_template() -> None:
    tables = {env.read(table.value): table for table in Table}
    indexes = {
        index["IndexName"]: (tables[logical_id], index["KeySchema"][0]["AttributeName"])
        for logical_id, table in template.resources("AWS::DynamoDB::Table")
        for index in table.get("GlobalSecondaryIndexes", [])
    }
    assert indexes == doctor.INDEXES
    assert {name for name, _ in template.resources("AWS::SecretsManager::Secret")} == set(map(env.read, doctor.SECRETS))


def test_device_management_that_is_off_is_not_a_failure() -> None:
    settings.change(settings.DEVICE_MANAGEMENT, 0)
    found = ask()
    assert ill(found) == {}
    assert [check["detail"] for check in found["checks"] if check["name"] == "vodlix"] == [
        "not tried: device_management is off"
    ]


@pytest.mark.parametrize("name", [table.name.lower() for table in Table])
def test_a_table_that_is_gone_is_named_and_no_round_trip_is_tried(name: str) -> None:
    boto3.client("dynamodb").delete_table(TableName=env.read(Table[name.upper()].value))
    found = ill(ask())
    assert found[f"table {name}"] == "failed: ResourceNotFoundException"
    assert [found[dialect] for dialect in DIALECTS] == ["not tried: a table cannot be used"] * 5


def test_a_secret_that_is_too_short_or_gone_is_named() -> None:
    client = boto3.client("secretsmanager")
    client.put_secret_value(SecretId=env.read("DEVICE_ID_SECRET"), SecretString="s" * 31)
    client.delete_secret(SecretId=env.read("QUECTEL_SESSION_SECRET"), ForceDeleteWithoutRecovery=True)
    found = ill(ask())
    assert found["secret device_id"] == "shorter than 32 bytes"
    assert found["secret quectel_session"] == "failed: ResourceNotFoundException"
    assert set(found) == {"secret device_id", "secret quectel_session", "quectel"}
    assert everything() == NOTHING


@pytest.mark.parametrize(
    ("answers", "detail"),
    [
        ({}, None),
        ({"/keys": (200, {}, b'{"keys": []}')}, "refused: unavailable"),
        ({"/keys": (500, {}, b"")}, "refused: unavailable (HTTPException)"),
        ({"/.well-known/openid-configuration": (200, {}, b"{}")}, "refused: unavailable"),
    ],
)
def test_an_issuer_is_asked_for_its_keys(
    environment: pytest.MonkeyPatch, answers: dict[str, Any], detail: str | None
) -> None:
    with Bank() as bank:
        bank.trusted(environment)
        bank.answers = answers
        assert ill(ask()).get("issuer") == detail
        assert bank.asked


def test_an_issuer_without_a_key_that_can_be_used_is_ill(environment: pytest.MonkeyPatch) -> None:
    with Bank() as bank:
        bank.trusted(environment)
        bank.keys[0]["use"] = "enc"
        assert ill(ask())["issuer"] == "publishes no key for RS256 or ES256"


@pytest.mark.parametrize("apart", [-6, 6])
def test_a_clock_that_is_wrong_is_said_to_be(monkeypatch: pytest.MonkeyPatch, apart: int) -> None:
    now = clock.seconds()
    monkeypatch.setattr(clock, "seconds", lambda: now)
    monkeypatch.setattr(dynamodb, "server_seconds", lambda: now + apart)
    assert ill(ask()) == {"clock": "6 s apart from DynamoDB's"}


@pytest.mark.parametrize(
    ("dialect", "module", "name"),
    [
        ("rufus", company_devices, "bind"),
        ("asseco", owned_devices, "unregister"),
        ("quectel", devices, "manufacture"),
        ("vodlix", video_devices, "add"),
        ("remoteit", doctor, "_authorize_client"),
    ],
)
def test_a_round_trip_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, dialect: str, module: Any, name: str
) -> None:
    monkeypatch.setattr(module, name, fail)
    found = ill(ask())
    assert found[dialect] == "refused: unavailable"
    assert set(found) <= {dialect, "remoteit"}
    assert everything() == NOTHING


@pytest.mark.parametrize(
    ("broken", "dialect", "detail"),
    [
        (lambda patch: patch.setattr(company_devices, "bind", lambda *_, **__: ""), "rufus", "not its holder's"),
        (lambda patch: patch.setattr(video_devices, "add", lambda *_, **__: None), "vodlix", "is not there"),
        (lambda patch: patch.setattr(doctor, "LABEL_LOOKUPS", 0), "remoteit", "by its proxy label"),
    ],
)
def test_a_write_that_did_not_last_is_found(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None], dialect: str, detail: str
) -> None:
    broken(monkeypatch)
    assert detail in ill(ask())[dialect]
    assert everything() == NOTHING


def test_what_an_interrupted_run_left_behind_is_removed_by_the_next_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts.create("acme", name="Acme")
    dynamodb.write(devices.seen(identity.video_device("A1B2C3D4E5F6"), "vodlix"))
    before = everything()
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(doctor, "_remove", fail)
        assert ill(ask()) == {"tidying up": "refused: unavailable"}
    left = everything()
    assert {name: len(found) > len(before[name]) for name, found in left.items()} == dict.fromkeys(before, True)
    # A run that may still be at work is left alone.
    assert ill(ask()) == {}
    assert everything() == left
    monkeypatch.setattr(doctor, "LEFT_BEHIND", -1)
    assert ill(ask()) == {}
    assert everything() == before


@pytest.mark.parametrize("table", Table)
def test_what_a_table_that_could_not_be_read_was_given_is_removed(
    monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    real = dynamodb.get

    def unread(key: dynamodb.Key, **given: Any) -> Any:
        return fail() if key.table is table else real(key, **given)

    with monkeypatch.context() as unreadable:
        unreadable.setattr(dynamodb, "get", unread)
        assert ill(ask())[f"table {table.name.lower()}"] == "refused: unavailable"
    assert everything() == NOTHING


@pytest.mark.parametrize("table", Table)
def test_what_it_left_in_a_table_is_removed_by_the_next_run(monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    """It was interrupted after a probe's write: nothing was tidied up."""
    real = dynamodb.get
    with monkeypatch.context() as interrupted:
        interrupted.setattr(dynamodb, "get", lambda key, **given: fail() if key.table is table else real(key, **given))
        interrupted.setattr(doctor, "_remove", fail)
        ask()
    assert everything() != NOTHING
    monkeypatch.setattr(doctor, "LEFT_BEHIND", -1)
    assert ill(ask()) == {}
    assert everything() == NOTHING


def test_the_doctor_is_asked_by_post_alone() -> None:
    assert admin("doctor", "GET", "doctor").status == 404
    assert everything() == NOTHING
