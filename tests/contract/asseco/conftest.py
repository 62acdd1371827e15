import pytest


@pytest.fixture(autouse=True)
def _registry(registry: None, bank: object) -> None:
    """Provide empty tables, and a bank whose access tokens are trusted."""
