"""The local registry in its own process: one per session, emptied for each test."""

import secrets
from collections.abc import Iterator

import pytest

from bindery.security import passwords
from tests.conftest import clear_caches
from tools.local.engine import Engine, make_secrets, make_tables


@pytest.fixture(scope="session")
def running_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Start the process when a test first needs it."""
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def engine(running_engine: Engine, environment: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Provide empty tables, new secrets and fast password hashes of the same length."""
    environment.setattr(passwords, "_LN", 10)
    environment.setattr(passwords, "_NOTHING", passwords._NOTHING.replace("ln=17", "ln=10"))
    use_empty_registry(running_engine, environment)
    yield running_engine
    clear_caches()


def use_empty_registry(running_engine: Engine, environment: pytest.MonkeyPatch) -> None:
    """Create tables and secrets in a region that no other test uses, and select it in the environment."""
    for name, value in running_engine.environment().items():
        environment.setenv(name, value)
    environment.setenv("AWS_DEFAULT_REGION", f"test-{secrets.token_hex(6)}-1")
    make_tables()
    make_secrets()
    clear_caches()
