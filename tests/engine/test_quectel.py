"""quectel on an engine that supports parallel requests and transaction tokens."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bindery.aws import dynamodb
from bindery.directory import users
from bindery.quectel import families
from bindery.registry.bindings import Mode
from tests import quectel
from tests.quectel import DEVICE, DK, ME, PK, World, common
from tests.tables import everything

pytestmark = pytest.mark.usefixtures("engine")

CALLERS = 32


@pytest.mark.parametrize("mode", [Mode.UNIQUE, Mode.ROTATING])
def test_only_the_owners_family_lists_a_contested_device(mode: Mode) -> None:
    World(mode)
    for number in range(CALLERS):
        users.create(f"u{number}", "smart", domain="E.DM.1", home_mode=True)
        families.create(f"f{number}", f"u{number}")
    barrier = Barrier(CALLERS)

    def bind(number: int) -> int:
        barrier.wait(30)
        return int(quectel.as_user(f"u{number}", fid=f"f{number}").json()["code"])

    with ThreadPoolExecutor(CALLERS) as pool:
        codes = list(pool.map(bind, range(CALLERS)))

    owner = quectel.owner()
    assert [f"user#{uid}" for uid in quectel.places()] == [owner["holder"]]
    assert codes.count(200) == 1 if mode is Mode.UNIQUE else codes.count(200) >= 1
    assert set(codes) <= {200, 5412 if mode is Mode.UNIQUE else 5048}
    assert codes[int(owner["holder"].removeprefix("user#u"))] == 200
    assert [number for number in range(CALLERS) if common(f"f{number}")] == [int(owner["fid"].removeprefix("f"))]
    assert common(owner["fid"]) == {DEVICE}


def test_sdk_retry_after_lost_response_is_idempotent() -> None:
    world = World()
    attempts_made: list[int] = []

    def lose_the_first_answer(attempts: int, **_: object) -> int | None:
        attempts_made.append(attempts)
        return 0 if attempts == 1 else None

    dynamodb.client().meta.events.register("needs-retry.dynamodb.TransactWriteItems", lose_the_first_answer)
    quectel.succeeded(world.ask())
    assert attempts_made == [1, 2]
    quectel.refused(world.ask(), 5049)


def test_parallel_accepts_and_unbind_leave_no_partial_shares() -> None:
    World()
    quectel.succeeded(quectel.as_user(ME))
    code = quectel.ask(ME, "share_info", pk=PK, dk=DK).json()["data"]
    for number in range(8):
        users.create(f"u{number}", "smart", domain="E.DM.1")
    barrier = Barrier(9)

    def act(number: int) -> int:
        barrier.wait(30)
        if number == 8:
            while (answer := quectel.ask(ME, "unbundling_device_dk", pk=PK, dk=DK).json()["code"]) == 5050:
                pass
            return int(answer)
        return int(quectel.ask(f"u{number}", "share_device", shareCode=code).json()["code"])

    with ThreadPoolExecutor(9) as pool:
        *accepted, ended = list(pool.map(act, range(9)))

    assert ended == 200
    assert set(accepted) <= {200, 5136, 5138}
    assert everything()["BINDINGS"] == []
