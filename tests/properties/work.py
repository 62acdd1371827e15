"""How much work an operation does itself, outside its calls to AWS: what a hostile request could drive up.

In CPU time, which is shown and never judged, and in calls of functions, Python's and C's, which are the same each time.
"""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.client import BaseClient

from bindery.http.operation import Operation

CPU = "CPU of a hostile request"


class Work:
    """What operations have done since it was begun."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Of CPU, of this thread."""
        self.calls = 0

    def count(self, frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@contextmanager
def watching(*, calls: bool = False) -> Iterator[Work]:
    """The work done meanwhile, with its `calls` only if they are asked for: counting them takes time itself."""
    work = Work()
    answer, ask = Operation.__call__, BaseClient._make_api_call  # type: ignore[attr-defined]

    def go() -> None:
        sys.setprofile(work.count if calls else None)
        work.seconds -= time.thread_time()

    def pause() -> None:
        work.seconds += time.thread_time()
        sys.setprofile(None)

    def answered(operation: Any, *args: Any) -> Any:
        go()
        try:
            return answer(operation, *args)
        finally:
            pause()

    def asked(client: BaseClient, *args: Any) -> Any:
        pause()
        try:
            return ask(client, *args)
        finally:
            go()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operation, "__call__", answered)
        patch.setattr(BaseClient, "_make_api_call", asked)
        # The tests' own objects, of which there are far more than in Lambda, are not gone through for garbage.
        gc.freeze()
        try:
            yield work
        finally:
            gc.unfreeze()
