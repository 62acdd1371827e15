from collections.abc import Iterator

import pytest

from tests.openid import Bank


@pytest.fixture(autouse=True)
def bank(registry: None, environment: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Trust a bank's access tokens."""
    with Bank() as bank:
        bank.trusted(environment)
        yield bank
