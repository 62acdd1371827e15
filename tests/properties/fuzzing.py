"""Fuzzing with Hypothesis: it keeps inputs that run rare code and continues from them (its `target`).

Findings are minimized and added to `tests.properties.hostile`.
"""

from hypothesis import HealthCheck, Phase, settings, target

from tests.properties.reached import Arc, Reached
from tests.properties.scale import FULL, rounds


def searching(short: int, full: int) -> settings:
    """Return the settings with the number of inputs. `make test` always uses the same inputs."""
    return settings(
        max_examples=rounds(short, full),
        derandomize=not FULL,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def guide(reached: Reached, made: set[Arc]) -> None:
    """Tell Hypothesis how rare the steps of the last input are."""
    target(len(made), label="how much")
    target(reached.rarity(made), label="how rarely")
