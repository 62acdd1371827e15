"""One registry for all tests of a file. Each test starts from a prepared state, which several tests may share."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from tests import moto_registry
from tests.conftest import clear_caches, make_environment


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        make_environment(patch)
        yield patch


@pytest.fixture(scope="module")
def empty(environment: pytest.MonkeyPatch) -> Iterator[moto_registry.State]:
    with moto_registry.empty():
        yield moto_registry.state()
        clear_caches()


@pytest.fixture(scope="module")
def worlds() -> dict[object, moto_registry.State]:
    return {}


@pytest.fixture
def registry(empty: moto_registry.State) -> None:
    moto_registry.restore(empty)


@pytest.fixture
def prepared(
    registry: None, worlds: dict[object, moto_registry.State]
) -> Callable[[object, Callable[[], object]], None]:
    """Prepare a state by name: build it once and restore it for every other test that uses the name."""

    def prepare(name: object, make: Callable[[], object]) -> None:
        if name not in worlds:
            make()
            worlds[name] = moto_registry.state()
        moto_registry.restore(worlds[name])

    return prepare


@pytest.fixture
def fixed_hashes(cheap_hashes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make password hashes cheap and deterministic."""
    monkeypatch.setattr(secrets, "token_bytes", bytes)
