"""What happens between a request's reads and its write."""

from collections.abc import Callable
from typing import Any

import pytest

from bindery import dynamo
from tests import calls


def before(monkeypatch: pytest.MonkeyPatch, method: str, happen: Callable[[], object]) -> None:
    """Let something happen just before the DynamoDB client's next `method`: others' change, or (raised) a failure.

    Its own calls are none of the invocation's.
    """
    real = getattr(dynamo.client(), method)

    def call(**request: Any) -> Any:
        monkeypatch.setattr(dynamo.client(), method, real)
        token = calls._current.set(None)
        try:
            happen()
        finally:
            calls._current.reset(token)
        return real(**request)

    monkeypatch.setattr(dynamo.client(), method, call)
