"""Random requests to all five APIs on one registry, compared with a model in plain Python (`tests.properties.model`).

In sequence, every response matches the model, the tables hold the model's state, and no invariant is violated. From any
state that such a run reaches, any two requests may be made in parallel: every order of their DynamoDB calls is
equivalent to some order of the two requests (`tests.concurrency.schedules`).
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests import moto_registry
from tests.concurrency import schedules
from tests.conftest import clear_caches, make_environment
from tests.invariants import broken
from tests.openid import Bank
from tests.properties.asking import Asking, held_by, said
from tests.properties.model import ACCOUNTS, ADDRESSED, DEVICES, MODES, NAMES, PHONES, Ask, Model
from tests.properties.scale import rounds
from tests.tables import everything

Asks = dict[str, list[Ask]]
"""Requests by kind."""

LATEST = (0, 1)
"""Positions among the issued codes or connections, counted from the last."""


def every(
    *kinds: str, who: Iterable[str] = ACCOUNTS, device: Iterable[str] = ("",), more: Iterable[Any] = (None,)
) -> Asks:
    """Return every request of these kinds with every combination of these parameters."""
    chosen = list(product(who, device, more))
    return {kind: [Ask(kind, *parameters) for parameters in chosen] for kind in kinds}


CHANGES = {
    **every("rufus_bind", "rufus_unbind"),
    **every("quectel_bind", "quectel_let_go", device=MODES),
    **every("quectel_offer", device=MODES, more=("replace", "add")),
    **every("quectel_accept", device=MODES, more=product(ACCOUNTS, LATEST)),
    **every("quectel_rename", device=MODES, more=NAMES),
    **every("asseco_push", device=PHONES, more=("handle", "another")),
    **every("asseco_register", "asseco_rename", device=PHONES, more=("My Phone", "MY PHONE", "Other")),
    **every("asseco_unregister", "asseco_block", "asseco_unblock", device=PHONES),
    **every("remoteit_connect", device=ADDRESSED),
    **every("remoteit_stop", device=ADDRESSED, more=LATEST),
    **every("vodlix_add", who=[""]),
    **every("change", who=[""], device=DEVICES, more=("ban", "unban", "deactivate", "activate")),
    **every("force_unbind", who=["", *ACCOUNTS], device=DEVICES),
    **every("enter", who=[""], device=MODES),
}
LOOKS = {
    **every("rufus_get", "rufus_list", "quectel_list", "asseco_list", "remoteit_list"),
    **every("relay", device=ADDRESSED, more=LATEST),
    **every("vodlix_check", who=[""]),
}
SEEDS = st.uuids()
"""Seeds of the random choices. Hypothesis draws only seeds, because it repeats values, and minimizes failures."""


def choice(chance: Random, asks: Asks) -> Ask:
    """Choose a request, each kind with the same probability, but quectel's with twice that: it has the most
    transitions."""
    kinds = sorted(kind for kind in asks if asks[kind])
    return chance.choice(asks[chance.choice(kinds + [kind for kind in kinds if kind.startswith("quectel")])])


def possible(model: Model) -> Asks:
    """Return the requests that would succeed, which random choice seldom finds far from the initial state."""
    now = pickle.dumps(model)
    return {kind: [ask for ask in asks if done(pickle.loads(now).answer(ask))] for kind, asks in CHANGES.items()}


def done(outcome: Any) -> bool:
    """True if an outcome is not a refusal and not the result of a read."""
    return (outcome[0] if isinstance(outcome, tuple) else outcome) in (200, 201, 202, 204)


def rivals(one: Ask) -> Asks:
    """Return the requests of the same kind for the same device or by the same caller."""
    found = {
        kind: [ask for ask in asks if kind == one.what or ask.device == one.device != "" or ask.who == one.who != ""]
        for kind, asks in CHANGES.items()
    }
    # Two requests that enter the same device write the same record, so only their order would differ.
    return found if one.what != "enter" else {kind: asks for kind, asks in found.items() if kind != "enter"}


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    with pytest.MonkeyPatch.context() as environment, Bank() as bank:
        make_environment(environment)
        bank.trusted(environment)
        with moto_registry.empty():
            yield Asking(bank)
        clear_caches()


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
        assert self.asking.flagged(tables) == [self.model.entered, self.model.banned, self.model.inactive]
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
    begin = moto_registry.state()
    try:
        run_state_machine_as_test(
            lambda: machine(asking, begin),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        moto_registry.restore(begin)


def test_responses_and_tables_match_the_model(asking: Asking) -> None:
    run(Sequential, asking, rounds(short=12, full=100), rounds(short=40, full=80))


def test_any_two_parallel_requests_are_equivalent_to_some_order(asking: Asking) -> None:
    run(Concurrent, asking, rounds(short=4, full=60), rounds(short=25, full=60))
