"""A few fixed random histories: `tests/properties/test_feed.py` has many more."""

import pytest

from tests import moto_registry
from tests.properties.asking import Asking
from tests.properties.choices import asking
from tests.properties.histories import History

__all__ = ["asking"]

REQUESTS = 20


@pytest.mark.parametrize("seed", [1, 2])
def test_history_is_that_of_the_acknowledged_requests(asking: Asking, seed: int) -> None:
    begin = moto_registry.state()
    history = History(asking, begin, every_call=False, note=print)
    for _ in range(REQUESTS):
        history.one(seed)
    history.record()
    moto_registry.restore(begin)
