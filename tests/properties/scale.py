"""How much of a proof is run: a short form in `make test`, all of it in `make proof`."""

import os

FULL = os.environ.get("PROOF") == "full"


def rounds(short: int, full: int) -> int:
    """How many of something to try."""
    return full if FULL else short
