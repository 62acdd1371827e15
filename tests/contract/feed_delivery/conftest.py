from collections.abc import Iterator

import pytest

from tests import feed_receiver
from tests.feed_receiver import Feed


@pytest.fixture
def feed(registry: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    with feed_receiver.feed(monkeypatch) as made:
        yield made
