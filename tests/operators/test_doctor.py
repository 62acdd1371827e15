"""The doctor: a healthy installation, each possible failure, and no leftovers."""

import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from bindery.asseco import owned_devices
from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.connectivity import service_addresses
from bindery.core import clock, env
from bindery.core.errors import Reason, Refused
from bindery.directory import accounts, settings
from bindery.operators import doctor
from bindery.registry import devices, identity
from bindery.rufus import company_devices
from bindery.vodlix import video_devices
from tests.device_link import connect
from tests.http_api import admin
from tests.openid import Bank
from tests.tables import NOTHING, everything
from tools import template

pytestmark = pytest.mark.usefixtures("registry")

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


def test_healthy_installation_passes_and_is_left_unchanged() -> None:
    found = ask()
    assert ill(found) == {}
    secrets = ("device_id", "binding_key", "claim", "quectel_session", "remoteit_session", "directory")
    indexes = ("by_serial", "by_holder", "by_label", "by_credential", "by_list", "by_time")
    assert [check["name"] for check in found["checks"]] == [
        *(f"table {name}" for name in ("directory", "devices", "bindings", "frames", "history")),
        *(f"index {name}" for name in indexes),
        *(f"secret {name}" for name in secrets),
        *("format", "issuer", "clock", "client", "leftovers", *DIALECTS, "cleanup"),
    ]
    details = {check["name"]: check["detail"] for check in found["checks"]}
    assert "not configured" in details["issuer"]
    assert re.fullmatch(rf"{env.read('AWS_CLIENT')}: first call \d+ ms, then \d+ ms", details["client"])
    assert everything() == NOTHING


def test_doctor_checks_every_index_and_secret_of_the_template() -> None:
    tables = {env.read(table.value): table for table in Table}
    indexes = {
        index["IndexName"]: (tables[logical_id], index["KeySchema"][0]["AttributeName"])
        for logical_id, table in template.resources("AWS::DynamoDB::Table")
        for index in table.get("GlobalSecondaryIndexes", [])
    }
    assert indexes == doctor.INDEXES
    assert {name for name, _ in template.resources("AWS::SecretsManager::Secret")} == set(map(env.read, doctor.SECRETS))


def test_disabled_device_management_is_not_a_failure() -> None:
    settings.change(settings.DEVICE_MANAGEMENT, 0)
    found = ask()
    assert ill(found) == {}
    assert [check["detail"] for check in found["checks"] if check["name"] == "vodlix"] == [
        "not tried: device_management is off"
    ]


@pytest.mark.parametrize("name", [table.name.lower() for table in Table])
def test_missing_table_is_named_and_round_trips_are_skipped(name: str) -> None:
    boto3.client("dynamodb").delete_table(TableName=env.read(Table[name.upper()].value))
    found = ill(ask())
    assert found[f"table {name}"] == "failed: ResourceNotFoundException"
    assert [found[dialect] for dialect in DIALECTS] == ["not tried: a table cannot be used"] * 5


def test_short_or_missing_secret_is_named() -> None:
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
def test_issuer_keys_are_fetched(environment: pytest.MonkeyPatch, answers: dict[str, Any], detail: str | None) -> None:
    with Bank() as bank:
        bank.trusted(environment)
        bank.answers = answers
        assert ill(ask()).get("issuer") == detail
        assert bank.asked


def test_issuer_without_a_usable_key_fails(environment: pytest.MonkeyPatch) -> None:
    with Bank() as bank:
        bank.trusted(environment)
        bank.keys[0]["use"] = "enc"
        assert ill(ask())["issuer"] == "publishes no key for RS256 or ES256"


@pytest.mark.parametrize("apart", [-6, 6])
def test_wrong_clock_is_reported(monkeypatch: pytest.MonkeyPatch, apart: int) -> None:
    now = clock.seconds()
    monkeypatch.setattr(clock, "seconds", lambda: now)
    monkeypatch.setattr(dynamodb, "server_seconds", lambda *_: now + apart)
    assert ill(ask()) == {"clock": "6 s apart from DynamoDB's"}


@pytest.mark.parametrize(
    ("dialect", "module", "name"),
    [
        ("rufus", company_devices, "bind"),
        ("asseco", owned_devices, "unregister"),
        ("quectel", devices, "manufacture"),
        ("vodlix", video_devices, "add"),
        ("remoteit", doctor, "_admitted"),
    ],
)
def test_failed_round_trip_leaves_nothing_behind(
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
        (lambda patch: patch.setattr(doctor, "INDEX_LOOKUPS", 0), "remoteit", "by its proxy label"),
    ],
)
def test_lost_write_is_detected(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None], dialect: str, detail: str
) -> None:
    broken(monkeypatch)
    assert detail in ill(ask())[dialect]
    assert everything() == NOTHING


def test_next_run_deletes_only_leftovers_of_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.create("acme", name="Acme")
    dynamodb.write(devices.seen(identity.video_device("A1B2C3D4E5F6"), "vodlix"))
    before = everything()
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(doctor, "_remove", fail)
        assert ill(ask()) == {"cleanup": "refused: unavailable"}
    left = everything()
    assert {name: len(found) > len(before[name]) for name, found in left.items()} == dict.fromkeys(before, True)
    # A run that may still be in progress is left alone.
    assert ill(ask()) == {}
    assert everything() == left
    monkeypatch.setattr(doctor, "LEFT_BEHIND", -1)
    assert ill(ask()) == {}
    assert everything() == before


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize("table", Table)
def test_probe_in_an_unreadable_table_is_deleted(
    monkeypatch: pytest.MonkeyPatch, table: Table, interrupted: bool
) -> None:
    """An interrupted run wrote the probe and did not clean up."""
    real = dynamodb.get
    with monkeypatch.context() as failing:
        failing.setattr(dynamodb, "get", lambda key, **given: fail() if key.table is table else real(key, **given))
        if interrupted:
            failing.setattr(doctor, "_remove", fail)
        assert ill(ask())[f"table {table.name.lower()}"] == "refused: unavailable"
    assert (everything() != NOTHING) is interrupted
    monkeypatch.setattr(doctor, "LEFT_BEHIND", -1)
    assert ill(ask()) == {}
    assert everything() == NOTHING


def test_link_test_has_credentials_of_a_device_and_a_tunnel_and_leaves_nothing_behind(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("LINK_ENDPOINT", "https://link.example.com/link")
    answer = admin("doctor", "POST", "doctor/link")
    assert answer.status == 200
    test = answer.json()
    assert test["url"] == "wss://link.example.com/link"
    device = connect(test["device_key"])
    headers = {"Authorization": f"Bearer {test['credential']}", "Bindery-Session": test["run"]}
    tunnel = connect("", headers=headers)
    assert device is not None
    assert tunnel is not None
    device.hello()
    tunnel.send({"type": "open", "s": "a" * 32, "svc": "echo", "n": 0})
    assert device.received[-1]["type"] == "open"
    tunnel.end()
    device.end()
    ended = admin("doctor", "DELETE", f"doctor/link/{test['run']}")
    assert (ended.status, ended.json()) == (200, {"run": test["run"]})
    assert everything() == NOTHING
    assert connect(test["device_key"]) is None
    assert connect("", headers=headers) is None


def test_link_test_whose_device_is_still_connected_leaves_nothing_behind() -> None:
    test = admin("doctor", "POST", "doctor/link").json()
    device = connect(test["device_key"])
    assert device is not None
    admin("doctor", "DELETE", f"doctor/link/{test['run']}")
    device.end()
    assert everything() == NOTHING


def test_link_test_begins_once_the_indexes_have_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    real, listed = dynamodb.query, []

    def query(partition: dynamodb.Partition, **given: Any) -> Any:
        listed.append(partition.by)
        return iter(()) if listed.count(partition.by) < 3 else real(partition, **given)

    monkeypatch.setattr(dynamodb, "query", query)
    assert admin("doctor", "POST", "doctor/link").status == 200
    assert [index.name for index in listed] == ["by_credential"] * 3 + ["by_label"] * 3
    monkeypatch.setattr(doctor, "INDEX_LOOKUPS", 2)
    listed.clear()
    assert admin("doctor", "POST", "doctor/link").status == 503


def test_next_run_deletes_leftovers_of_an_interrupted_link_test(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as interrupted:
        interrupted.setattr(service_addresses, "assign", fail)
        assert admin("doctor", "POST", "doctor/link").status == 503
    test = admin("doctor", "POST", "doctor/link").json()
    assert connect(test["device_key"]) is not None
    monkeypatch.setattr(doctor, "LEFT_BEHIND", -1)
    assert ill(ask()) == {}
    assert everything() == NOTHING
    again = admin("doctor", "DELETE", f"doctor/link/{test['run']}")
    assert (again.status, again.json()["detail"]) == (404, "The run has ended.")
