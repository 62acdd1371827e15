from collections.abc import Iterator

import pytest

from bindery.security import passwords
from tests import moto_registry
from tests.records import Caller, empty_registry, install


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[Caller, moto_registry.State]]:
    with pytest.MonkeyPatch.context() as patch, empty_registry() as bank:
        patch.setattr(passwords, "_LN", 2)
        yield install(bank)[1], moto_registry.state()


@pytest.fixture
def ada(installed: tuple[Caller, moto_registry.State]) -> Caller:
    """Return a caller who is allowed to send the sample of every operation, in an installation of its own."""
    caller, state = installed
    moto_registry.restore(state)
    return caller
