"""A lost response on an engine that keeps the tokens of transactions."""

import pytest

from tests import quectel
from tests.concurrency.races import lost_response
from tests.quectel import World

pytestmark = pytest.mark.usefixtures("engine")


def test_sdk_retry_after_lost_response_is_idempotent() -> None:
    world = World()
    with lost_response("TransactWriteItems") as sent:
        quectel.succeeded(world.ask())
    assert len(sent) == 2
    quectel.refused(world.ask(), 5049)
