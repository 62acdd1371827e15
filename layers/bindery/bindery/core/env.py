"""Environment variables, set by the template."""

import os
from functools import cache


@cache
def read(name: str) -> str:
    """Read an environment variable."""
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(f"the environment variable {name} is not set: see template.yaml") from None


def find(name: str) -> str | None:
    """Return an environment variable, or None if it is empty or not set."""
    return os.environ.get(name) or None


def clear_cache() -> None:
    """Clear the cache."""
    read.cache_clear()


def initialising() -> bool:
    """Return True in AWS Lambda."""
    # At import time, this is the init phase.
    return find("AWS_LAMBDA_INITIALIZATION_TYPE") is not None
