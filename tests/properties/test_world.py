"""The world that the proofs share is one in which every operation succeeds."""

import pytest

from tests.properties import world


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_every_operations_own_request_succeeds(name: str, here: world.World) -> None:
    answer = world.run(here, name)
    assert answer.status < 300, answer
    assert not name.startswith("quectel.") or answer.json()["code"] == 200
