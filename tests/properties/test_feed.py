"""The change feed after random requests: exactly the acknowledged changes, in order per device, each once."""

from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.properties.asking import Asking
from tests.properties.choices import asking, explore
from tests.properties.histories import History
from tests.properties.scale import rounds

__all__ = ["asking"]


class Recorded(RuleBasedStateMachine):
    """A history. Hypothesis draws only seeds, and minimizes failures."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history

    @rule(seed=st.uuids())
    def one(self, seed: UUID) -> None:
        self.history.one(seed)

    def teardown(self) -> None:
        self.history.record()


def run(asking: Asking, examples: int, steps: int, *, every_call: bool) -> None:
    explore(lambda begin: Recorded(History(asking, begin, every_call=every_call, note=note)), examples, steps)


def test_history_is_that_of_the_acknowledged_requests(asking: Asking) -> None:
    run(asking, rounds(short=10, full=80), rounds(short=40, full=80), every_call=False)


def test_history_survives_a_failure_of_every_call(asking: Asking) -> None:
    run(asking, rounds(short=2, full=15), rounds(short=20, full=40), every_call=True)
