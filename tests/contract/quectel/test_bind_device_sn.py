"""bindDeviceSn: changes between check and write, and registry failures."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import products, users
from bindery.quectel import families
from bindery.registry import items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import aws_calls, quectel
from tests.concurrency.races import before
from tests.quectel import DEVICE, ME, OTHER, PK, World, as_user, fill, owner, refused, succeeded
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


CHANGES: list[tuple[Callable[[World], object], int, dict[str, str]]] = [
    (quectel.disabled, 5009, {}),
    (quectel.no_device_key, 5067, {}),
    (quectel.bad_device_key, 5361, {}),
    (quectel.other_data_center, 6083, {}),
    (lambda world: world.manufacture(device_key="OTHER1"), 5048, {}),
    (lambda world: world.manufacture(module_type="EC200"), 5048, {}),
    (lambda world: dynamodb.write(dynamodb.Delete(items.device(DEVICE))), 5090, {}),
    (lambda world: users.set_enabled(OTHER, False), 5032, {}),
    (lambda world: users.revoke_sessions(OTHER), 5032, {}),
    (lambda world: dynamodb.write(dynamodb.Delete(items.user(OTHER))), 5032, {}),
    (lambda world: users.set_home_mode(OTHER, True), 5636, {}),
    (lambda world: users.change(OTHER, role="administrator"), 5048, {}),
    (lambda world: products.bar(PK, OTHER), 5327, {}),
    *((lambda world: families.change("F1", members=[]), 5041, {"isCommonDevice": wish}) for wish in ("true", "false")),
    *((lambda world: families.change("F1", rooms=[]), 5041, {"isCommonDevice": wish}) for wish in ("true", "false")),
    (lambda world: fill("F1"), 5893, {"isCommonDevice": "true"}),
]
"""Changes just before the write, the code of the check that they fail, and how the user binds into their family.

tests/concurrency/test_quectel.py has the changes that other requests make.
"""


@pytest.mark.parametrize(("change", "code", "wish"), CHANGES)
def test_concurrent_change_gives_the_code_of_the_check(
    world: World, change: Callable[[World], object], code: int, wish: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if wish:
        users.set_home_mode(OTHER, True)
    after: list[Any] = []
    before(monkeypatch, "TransactWriteItems", lambda: (change(world), after.append(everything())))
    refused(as_user(OTHER, **({"fid": "F1", "frid": "R1"} | wish if wish else {})), code)
    assert [everything()] == after


def test_share_accepted_during_rotating_bind_is_6040(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    succeeded(as_user(OTHER))
    before(monkeypatch, "TransactWriteItems", lambda: quectel.share(OTHER, ME, clock.seconds() + 60))
    refused(world.ask(), 6040)
    assert owner()["holder"] == f"user#{OTHER}"


@pytest.mark.parametrize(
    ("left", "code"),
    [
        ({"DevicesTable"}, 5089),
        ({"BindingsTable"}, 5314),
        ({"DirectoryTable"}, 5314),
        ({"DirectoryTable", "DevicesTable"}, 5314),
    ],
)
def test_unread_serial_key_is_5089_and_any_other_5314(
    world: World, monkeypatch: pytest.MonkeyPatch, left: set[str], code: int
) -> None:
    real = aws_calls.real("BatchGetItem")
    asked: list[set[str]] = []

    def answer(RequestItems: dict[str, Any]) -> Any:
        asked.append(set(RequestItems))
        served = {table: keys for table, keys in RequestItems.items() if table not in left}
        rest = {table: keys for table, keys in RequestItems.items() if table in left}
        return (real(RequestItems=served) if served else {"Responses": {}}) | {"UnprocessedKeys": rest}

    monkeypatch.setattr(dynamodb, "ATTEMPTS", 2)
    monkeypatch.setattr(dynamodb, "_pause", lambda attempt: None)
    aws_calls.replace(monkeypatch, "BatchGetItem", answer)
    response = world.ask()
    refused(response, code)
    assert response.headers["Retry-After"] == "1"
    assert asked == [{"DevicesTable", "BindingsTable", "DirectoryTable"}, left]
    assert stored(Table.BINDINGS) == []


def test_failed_key_derivation_binds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "auth_key", lambda binding: 1 / 0)
    untouched = everything()
    refused(world.ask(), 5048)
    assert everything() == untouched
