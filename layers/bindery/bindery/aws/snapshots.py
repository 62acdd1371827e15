"""Lambda SnapStart, which resumes functions from a snapshot of their initialized process."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from bindery.core import env


def in_use() -> bool:
    """Return True if Lambda takes a snapshot of this process, or continued it from one."""
    return env.find("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def after_restore(action: Callable[[], None]) -> None:
    """Run `action` whenever the process continues from a snapshot, before its first request."""
    if in_use():
        # A module of Lambda's runtime.
        with suppress(ImportError):
            import_module("snapshot_restore_py").register_after_restore(action)
