"""Reasons for which calls are refused."""

from collections.abc import Callable

import pytest

from bindery.core.errors import Reason, Refused


def refused(call: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.reason
