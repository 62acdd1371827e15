"""What the template tells a function through its environment, each setting read when first needed and once."""

import os
from functools import cache


@cache
def read(name: str) -> str:
    """The setting `name`. `RuntimeError` names the one that the template does not pass."""
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(f"the environment variable {name} is not set: see template.yaml") from None


def clear_cache() -> None:
    """Forget every setting read so far (for a process that changes its environment: tests, the local server)."""
    read.cache_clear()


def initialising() -> bool:
    """Whether this is a function of AWS Lambda: what is imported now is its init phase."""
    return "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ
