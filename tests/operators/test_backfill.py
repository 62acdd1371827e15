"""Bindings that were made before devices could connect get their credentials."""

from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.connectivity import service_addresses
from bindery.core import clock
from bindery.operators import credential_backfill
from bindery.registry import items
from bindery.registry.bindings import Mode
from tests import aws_calls, calls, quectel, rufus
from tests.device_link import connect, connected
from tests.http_api import OPERATOR, admin
from tests.quectel import DK, ME, OTHER, PK, World, as_user, succeeded
from tests.records import ADDRESS, company_device, registration
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


def backfill(cursor: str | None = None) -> Any:
    body = {} if cursor is None else {"cursor": cursor}
    answer = admin("devices", "POST", "devices/backfill-credentials", body)
    assert answer.status == 200, answer.body
    return answer.json()


def forget_credentials() -> None:
    """Remove the credentials of all bindings, which an earlier version did not write."""
    for item in stored(Table.BINDINGS):
        if "holder" in item:
            dynamodb.write(items.key_of(Table.BINDINGS, item).update(remove=["credential"]))


def credentials() -> dict[tuple[str, str], str]:
    return {(item["pk"], item["sk"]): item["credential"] for item in stored(Table.BINDINGS) if "credential" in item}


def test_company_device_connects_after_the_backfill() -> None:
    rufus.install()
    deviceid = rufus.bound()
    forget_credentials()
    assert connect(deviceid) is None
    assert backfill() == {"examined": 1, "changed": 1, "next": None}
    connected(deviceid)


@pytest.mark.parametrize("mode", Mode)
def test_device_connects_with_its_auth_key_after_the_backfill(mode: Mode) -> None:
    World(mode)
    auth_key = succeeded(as_user(ME))["authKey"]
    before = everything()
    forget_credentials()
    assert backfill()["changed"] == 1
    (after,) = (item for item in stored(Table.BINDINGS) if "credential" in item)
    assert (after.pop("changed_by"), after.pop("changed_at") > 0) == (OPERATOR, True)
    assert after in before["BINDINGS"]
    connected(auth_key)


def test_regenerated_auth_key_is_the_one_that_counts() -> None:
    World()
    earlier = succeeded(as_user(ME))["authKey"]
    token = {"authorization": quectel.token(ME)}
    new = quectel.send("quectel.regenerate_auth_key", token, body={"pk": PK, "dk": DK}).json()["data"]["authKey"]
    forget_credentials()
    assert backfill()["changed"] == 1
    assert connect(earlier) is None
    connected(new)


def test_backfill_changes_nothing_else_and_nothing_twice() -> None:
    rufus.install()
    World(Mode.MULTI)
    succeeded(as_user(ME))
    quectel.share(ME, OTHER, clock.seconds() + 1000)
    registration("MIGR00002")
    service_addresses.assign(ADDRESS, company_device("acme", "SN-1"))
    kept = credentials()
    assert len(kept) == 2
    forget_credentials()
    assert backfill()["changed"] == 2
    assert credentials() == kept
    after = everything()
    assert backfill()["changed"] == 0
    assert everything() == after


def test_interrupted_backfill_continues_at_its_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_backfill, "PAGE", 3)
    rufus.install()
    made = {company_device("acme", f"SN-{number}") for number in range(8)}
    forget_credentials()
    done = [backfill()]
    while cursor := done[-1]["next"]:
        done.append(backfill(cursor))
    assert all(part["changed"] == part["examined"] for part in done)
    sizes = [part["examined"] for part in done]
    assert (sum(sizes), max(sizes)) == (8, 3)
    assert {device for device, _ in credentials()} == made


@pytest.mark.parametrize("change", ["unbound", "bound again", "key regenerated"])
def test_binding_that_changed_since_it_was_read_is_left_alone(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    World()
    succeeded(as_user(ME))
    forget_credentials()
    token = {"authorization": quectel.token(ME)}
    scan = aws_calls.real("Scan")
    changed: list[dict[str, Any]] = []

    def scanned(**given: Any) -> Any:
        found = scan(**given)
        with calls.unrecorded():
            interfere()
        changed.append(everything())
        return found

    def interfere() -> None:
        if change == "key regenerated":
            quectel.send("quectel.regenerate_auth_key", token, body={"pk": PK, "dk": DK})
        else:
            assert quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK).json()["code"] == 200
        if change == "bound again":
            succeeded(as_user(OTHER))

    aws_calls.replace(monkeypatch, "Scan", scanned)
    assert backfill()["changed"] == 0
    assert [everything()] == changed
