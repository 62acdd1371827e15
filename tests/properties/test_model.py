"""Random requests to all five APIs on one registry, compared with a model in plain Python (`tests.properties.model`).

In sequence, every response matches the model, the tables hold the model's state, and no invariant is violated. From any
state that such a run reaches, any two requests may be made in parallel: every order of their DynamoDB calls is
equivalent to some order of the two requests (`tests.concurrency.schedules`).
"""

from collections import Counter
from random import Random
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests import moto_registry
from tests.concurrency import schedules
from tests.invariants import broken
from tests.properties.asking import Asking, held_by, said
from tests.properties.choices import CHANGES, LATEST, Asks, asking, choice, done, every, explore, possible, rivals
from tests.properties.model import ADDRESSED, Ask, Model
from tests.properties.scale import rounds
from tests.tables import everything

__all__ = ["asking"]

LOOKS = {
    **every("rufus_get", "rufus_list", "quectel_list", "asseco_list", "remoteit_list"),
    **every("relay", device=ADDRESSED, more=LATEST),
    **every("vodlix_check", who=[""]),
}
SEEDS = st.uuids()
"""Seeds of the random choices. Hypothesis draws only seeds, because it repeats values, and minimizes failures."""


class Sequential(RuleBasedStateMachine):
    """Requests in sequence."""

    def __init__(self, asking: Asking, begin: moto_registry.State) -> None:
        super().__init__()
        self.asking, self.model = asking, Model()
        self.last = Ask("rufus_bind", "ada")
        """The latest of the requests that may change something."""
        self.drawn: Counter[UUID] = Counter()
        asking.forget()
        moto_registry.restore(begin)

    def chance(self, seed: UUID) -> Random:
        """Return a new generator for each step, even for the same seed."""
        self.drawn[seed] += 1
        return Random(f"{seed} {self.drawn[seed]}")

    @rule(seed=SEEDS)
    def one(self, seed: UUID) -> None:
        chance = self.chance(seed)
        asks = chance.choices((possible(self.model), rivals(self.last), LOOKS, self.clients()), (6, 3, 2, 1))[0]
        ask = choice(chance, asks)
        self.last = ask if ask.what in CHANGES else self.last
        note(str(ask))
        before = everything()
        answer = self.asking.ask(ask)
        expected = self.model.answer(ask)
        assert said(ask, answer) == expected
        self.asking.learn(ask, answer)
        tables = everything()
        assert broken(tables) == []
        assert self.asking.held(tables) == held_by(self.model)
        model = self.model
        assert self.asking.flagged(tables) == [model.entered, model.banned, model.inactive, model.kinds]
        offers = {device: to for device in model.offers if (to := model.offered(device)) is not None}
        assert self.asking.offered(tables) == offers
        if not done(expected):
            assert (tables["BINDINGS"], tables["DEVICES"]) == (before["BINDINGS"], before["DEVICES"])

    def clients(self) -> Asks:
        """Return clients' requests to the relay."""
        asks = LOOKS["relay"]
        return {"relay": [ask for ask in asks if (ask.who, ask.device) in self.model.leases] or asks}


class Concurrent(Sequential):
    """Also run two requests in parallel at any point, and undo their changes afterwards."""

    @rule(seed=SEEDS)
    def two_at_once(self, seed: UUID) -> None:
        chance = self.chance(seed)
        one = choice(chance, possible(self.model))
        other = choice(chance, rivals(one))
        note(f"{one} and {other}")
        schedules.check([self.asking.request(one), self.asking.request(other)], broken)


def run(machine: type[Sequential], asking: Asking, examples: int, steps: int) -> None:
    explore(lambda begin: machine(asking, begin), examples, steps)


def test_responses_and_tables_match_the_model(asking: Asking) -> None:
    run(Sequential, asking, rounds(short=12, full=100), rounds(short=40, full=80))


def test_any_two_parallel_requests_are_equivalent_to_some_order(asking: Asking) -> None:
    run(Concurrent, asking, rounds(short=4, full=60), rounds(short=25, full=60))
