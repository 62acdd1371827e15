"""Measure the work of an operation outside its calls to AWS, which a hostile request might increase.

Measured in CPU time, which is only reported, and in calls of Python and C functions, which are deterministic.
"""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bindery.aws import clients
from bindery.http.operation import Operation

CPU = "CPU of a hostile request"


class Work:
    """The work of operations since the measurement began."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """CPU time of this thread."""
        self.calls = 0

    def count(self, frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1


@contextmanager
def watching(*, calls: bool = False) -> Iterator[Work]:
    """Measure work; count `calls` only on request, because counting takes time itself."""
    work = Work()
    answer, ask = Operation.__call__, clients.call

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

    def asked(*args: Any, **request: Any) -> Any:
        pause()
        try:
            return ask(*args, **request)
        finally:
            go()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operation, "__call__", answered)
        patch.setattr(clients, "call", asked)
        # Garbage collection skips the tests' own objects, of which there are far more than in Lambda.
        gc.freeze()
        try:
            yield work
        finally:
            gc.unfreeze()
