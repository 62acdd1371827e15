"""One registry for all tests of a file: each starts from the state that it prepares, and many from the same one."""

from collections.abc import Callable, Iterator

import pytest
from moto import mock_aws

from tests import schedules
from tests.conftest import forget, make_environment, make_registry


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        make_environment(patch)
        yield patch


@pytest.fixture(scope="module")
def empty(environment: pytest.MonkeyPatch) -> Iterator[schedules.State]:
    with mock_aws():
        make_registry()
        yield schedules.state()
        forget()


@pytest.fixture(scope="module")
def worlds() -> dict[object, schedules.State]:
    return {}


@pytest.fixture
def registry(empty: schedules.State) -> None:
    schedules.restore(empty)


@pytest.fixture
def prepared(registry: None, worlds: dict[object, schedules.State]) -> Callable[[object, Callable[[], object]], None]:
    """Prepare a state by its name: made once, and put back for whoever else asks for it."""

    def prepare(name: object, make: Callable[[], object]) -> None:
        if name not in worlds:
            make()
            worlds[name] = schedules.state()
        schedules.restore(worlds[name])

    return prepare
