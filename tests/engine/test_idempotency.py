"""A lost response on an engine that keeps the tokens of transactions."""

import pytest

from bindery.aws import dynamodb
from tests import quectel
from tests.quectel import World

pytestmark = pytest.mark.usefixtures("engine")


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
