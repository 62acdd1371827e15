import pytest

from tests import moto_registry, rufus


@pytest.fixture
def companies(registry: None) -> None:
    moto_registry.prepare("rufus", rufus.install)
