"""The extent of a proof: a short form in `make test`, the full form in `make proof`."""

import os

FULL = os.environ.get("PROOF") == "full"


def rounds(short: int, full: int) -> int:
    """Return the number of repetitions."""
    return full if FULL else short
