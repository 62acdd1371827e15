"""Every operation succeeds in the world that the proofs share."""

import pytest

from tests.properties import world


@pytest.mark.parametrize("name", world.OPERATIONS)
def test_sample_request_of_every_operation_succeeds(name: str, here: world.World) -> None:
    answer = world.run(here, name)
    assert answer.status < 300, answer
    assert not name.startswith("quectel.") or answer.json()["code"] == 200
