"""Inputs that are looked for rather than thought of: Hypothesis keeps those that run what few others did, and goes on
from there (its `target`). What it finds is shown as small as it gets, and goes into `tests.properties.hostile`.
"""

from hypothesis import HealthCheck, Phase, settings, target

from tests.properties.reached import Arc, Reached
from tests.properties.scale import FULL, rounds


def searching(short: int, full: int) -> settings:
    """How many inputs are tried, in `make test` always the same ones."""
    return settings(
        max_examples=rounds(short, full),
        derandomize=not FULL,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def guide(reached: Reached, made: set[Arc]) -> None:
    """Say how far the input came that has just been tried."""
    target(len(made), label="how much")
    target(reached.rarity(made), label="how rarely")
