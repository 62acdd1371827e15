"""bindDeviceSn: concurrent changes between check and write, and registry failures."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ClientError

from bindery.aws import dynamodb
from bindery.aws.dynamodb import Table
from bindery.core import clock
from bindery.directory import products, users
from bindery.quectel import binding, families, user_devices
from bindery.registry import devices, items
from bindery.registry.bindings import Mode
from bindery.security import secrets
from tests import quectel
from tests.concurrency.races import before
from tests.quectel import (
    DEVICE,
    DK,
    ME,
    OTHER,
    PK,
    THIRD,
    World,
    as_user,
    bind,
    common,
    fill,
    owner,
    refused,
    succeeded,
)
from tests.tables import everything, stored

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def world(registry: None) -> World:
    return World()


# ── Concurrent changes between check and write ────────────────────────────────────────────────────────────────────────


def share(world: World) -> None:
    quectel.share(OTHER, ME, clock.seconds() + 60)


def bound_at_home_by_another(world: World) -> None:
    users.set_home_mode(OTHER, True)
    succeeded(as_user(OTHER, fid="F2"))


def shared_by_another(world: World) -> None:
    quectel.bound_by_another(world)
    share(world)


RACES: list[tuple[str, Mode, Callable[[World], object], int]] = [
    ("banned", Mode.UNIQUE, quectel.banned, 5009),
    ("banned", Mode.ROTATING, quectel.banned, 5009),
    ("banned", Mode.MULTI, quectel.banned, 5009),
    ("disabled", Mode.UNIQUE, lambda world: devices.set_enabled(DEVICE, False), 5009),
    ("no device key", Mode.UNIQUE, quectel.no_device_key, 5067),
    ("invalid device key", Mode.UNIQUE, quectel.bad_device_key, 5361),
    ("another data center", Mode.UNIQUE, quectel.other_data_center, 6083),
    ("another device key", Mode.UNIQUE, lambda world: world.manufacture(device_key="OTHER1"), 5048),
    ("another module type", Mode.UNIQUE, lambda world: world.manufacture(module_type="EC200"), 5048),
    ("device deleted", Mode.UNIQUE, lambda world: dynamodb.write(dynamodb.Delete(items.device(DEVICE))), 5090),
    *(("bound by the caller", mode, quectel.mine, 5049) for mode in Mode),
    ("bound by another user", Mode.UNIQUE, quectel.bound_by_another, 5412),
    ("bound by another user and shared", Mode.UNIQUE, shared_by_another, 6040),
    ("bound by another user and shared", Mode.ROTATING, shared_by_another, 6040),
    ("shared", Mode.MULTI, shared_by_another, 6040),
    ("user disabled", Mode.UNIQUE, lambda world: users.set_enabled(ME, False), 5032),
    ("user's sessions revoked", Mode.MULTI, lambda world: users.revoke_sessions(ME), 5032),
    ("user deleted", Mode.UNIQUE, lambda world: dynamodb.write(dynamodb.Delete(items.user(ME))), 5032),
    ("home mode enabled", Mode.ROTATING, lambda world: users.set_home_mode(ME, True), 5636),
    ("role changed", Mode.UNIQUE, lambda world: users.change(ME, role="administrator"), 5048),
    ("user blocked", Mode.UNIQUE, lambda world: products.bar(PK, ME), 5327),
    ("bound by another user into a family", Mode.ROTATING, bound_at_home_by_another, 5048),
]


@pytest.mark.parametrize(("what", "mode", "change", "code"), RACES)
def test_concurrent_change_gives_the_code_of_the_check(
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    mode: Mode,
    change: Callable[[World], object],
    code: int,
) -> None:
    world = World(mode)
    after: list[Any] = []
    before(monkeypatch, "transact_write_items", lambda: (change(world), after.append(everything())))
    refused(world.ask(), code)
    assert [everything()] == after


@pytest.mark.parametrize(
    ("what", "change", "wanted", "code"),
    [
        ("member removed", lambda: families.change("F1", members=[]), "true", 5041),
        ("member removed", lambda: families.change("F1", members=[]), "false", 5041),
        ("room deleted", lambda: families.change("F1", rooms=[]), "true", 5041),
        ("room deleted", lambda: families.change("F1", rooms=[]), "false", 5041),
        ("list full", lambda: fill("F1"), "true", 5893),
    ],
)
def test_concurrent_family_change_gives_the_code_of_the_check(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    change: Callable[[], object],
    wanted: str,
    code: int,
) -> None:
    users.set_home_mode(OTHER, True)
    after: list[Any] = []
    before(monkeypatch, "transact_write_items", lambda: (change(), after.append(everything())))
    refused(as_user(OTHER, fid="F1", frid="R1", isCommonDevice=wanted), code)
    assert [everything()] == after


def test_share_accepted_during_rotating_bind_is_6040(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    quectel.bound_by_another(world)
    before(monkeypatch, "transact_write_items", lambda: share(world))
    refused(world.ask(), 6040)
    assert owner()["holder"] == f"user#{OTHER}"


def test_second_rotating_bind_gets_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    bound_at_home_by_another(world)
    before(monkeypatch, "transact_write_items", lambda: as_user(THIRD))
    answer = world.ask()
    refused(answer, 5048)
    assert answer.headers["Retry-After"] == "1"
    assert set(quectel.places()) == {THIRD}
    succeeded(world.ask())
    assert owner()["holder"] == f"user#{ME}"
    assert (set(quectel.places()), common("F2")) == ({ME}, set())


def test_rotating_bind_leaves_no_stale_common_list_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    bound_at_home_by_another(world)
    users.set_home_mode(THIRD, True)
    families.create("F3", THIRD)
    before(monkeypatch, "transact_write_items", lambda: as_user(THIRD, fid="F3"))
    answer = world.ask()
    refused(answer, 5048)
    assert answer.headers["Retry-After"] == "1"
    assert (owner()["holder"], common("F2"), common("F3")) == (f"user#{THIRD}", set(), {DEVICE})
    succeeded(world.ask())
    assert common("F3") == set()


def test_device_unbound_concurrently_can_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Mode.ROTATING)
    quectel.bound_by_another(world)
    before(monkeypatch, "transact_write_items", lambda: user_devices.unbind(quectel.session(OTHER), PK, DK))
    succeeded(world.ask())
    assert set(quectel.places()) == {ME}


def test_rotating_bind_leaves_no_share_accepted_concurrently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Mode.ROTATING)
    quectel.bound_by_another(world)
    before(monkeypatch, "transact_write_items", lambda: quectel.share(OTHER, THIRD, clock.seconds() + 60))
    refused(world.ask(), 5048)
    assert set(quectel.places()) == {OTHER, THIRD}
    succeeded(world.ask())
    assert set(quectel.places()) == {ME}


# ── Registry failures ─────────────────────────────────────────────────────────────────────────────────────────────────


def throttled(*_: Any, **__: Any) -> Any:
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "secret inner text"}}, "Operation")


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
    real = dynamodb.client().batch_get_item
    asked: list[set[str]] = []

    def answer(RequestItems: dict[str, Any]) -> Any:
        asked.append(set(RequestItems))
        served = {table: keys for table, keys in RequestItems.items() if table not in left}
        rest = {table: keys for table, keys in RequestItems.items() if table in left}
        return (real(RequestItems=served) if served else {"Responses": {}}) | {"UnprocessedKeys": rest}

    monkeypatch.setattr(dynamodb, "ATTEMPTS", 2)
    monkeypatch.setattr(dynamodb, "_pause", lambda attempt: None)
    monkeypatch.setattr(dynamodb.client(), "batch_get_item", answer)
    response = world.ask()
    refused(response, code)
    assert response.headers["Retry-After"] == "1"
    assert asked == [{"DevicesTable", "BindingsTable", "DirectoryTable"}, left]
    assert stored(Table.BINDINGS) == []


@pytest.mark.parametrize("extra", [{}, {"deviceName": "n" * 255}])
def test_unreadable_registry_is_5314(world: World, monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]) -> None:
    monkeypatch.setattr(dynamodb.client(), "batch_get_item", throttled)
    answer = bind(world.token, **world.parameters | extra)
    refused(answer, 5314)
    assert answer.headers["Retry-After"] == "1"


def test_permanently_failed_write_is_5048(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = everything()
    monkeypatch.setattr(dynamodb.client(), "transact_write_items", throttled)
    answer = world.ask()
    refused(answer, 5048)
    assert answer.headers["Retry-After"] == "1"
    assert everything() == untouched


def test_internal_error_is_5048_without_details(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "bind", lambda *_, **__: 1 / 0)
    answer = world.ask()
    refused(answer, 5048)
    assert "Retry-After" not in answer.headers


def test_failed_key_derivation_binds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "auth_key", lambda binding: 1 / 0)
    untouched = everything()
    refused(world.ask(), 5048)
    assert everything() == untouched


def test_sdk_retry_after_lost_response_is_idempotent(world: World) -> None:
    sent: list[str] = []

    def answer_a_known_token(request: AWSRequest, **_: Any) -> AWSResponse | None:
        # DynamoDB does this; moto does not.
        sent.append(json.loads(request.body)["ClientRequestToken"])
        return answered(request) if len(sent) > len(set(sent)) else None

    def lose_the_first_answer(attempts: int, **_: Any) -> int | None:
        return 0 if attempts == 1 else None

    events = dynamodb.client().meta.events
    events.register_first("before-send.dynamodb.TransactWriteItems", answer_a_known_token)
    events.register("needs-retry.dynamodb.TransactWriteItems", lose_the_first_answer)
    succeeded(world.ask())
    assert len(sent) == 2
    assert owner()["holder"] == f"user#{ME}"


def answered(request: AWSRequest) -> AWSResponse:
    response = AWSResponse(request.url, 200, {}, None)
    response._content = b"{}"
    return response
