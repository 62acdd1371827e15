import pytest

from tests import moto_registry, rufus


@pytest.fixture
def companies(registry: None) -> None:
    """Create two companies with API keys."""
    moto_registry.prepare("rufus", rufus.install)
