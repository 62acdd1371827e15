"""Random schedules over all five APIs on one registry, against a model of plain Python (`tests.properties.model`).

One after the other, every answer is the one that the model gives, and the tables hold what the model holds and break
no invariant. And from whatever state such a run has come to, any two requests may be made at once: every order of
their DynamoDB calls ends as one request after the other does (`tests.concurrency.schedules`).
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

Asks = dict[str, list[Ask]]
"""Requests by their kind."""

LATEST = (0, 1)
"""Of what was given out, from the last."""


def every(
    *kinds: str, who: Iterable[str] = ACCOUNTS, device: Iterable[str] = ("",), more: Iterable[Any] = (None,)
) -> Asks:
    """Every request of these kinds that can be made with these parameters."""
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
"""Hypothesis chooses whose chance it is, for it repeats itself; of a failure it leaves out what does not matter."""


def choice(chance: Random, asks: Asks) -> Ask:
    """One of these requests, each kind as likely as another, but quectel's twice: most can happen there."""
    kinds = sorted(kind for kind in asks if asks[kind])
    return chance.choice(asks[chance.choice(kinds + [kind for kind in kinds if kind.startswith("quectel")])])


def possible(model: Model) -> Asks:
    """The requests that are not refused, which chance seldom finds far from the start."""
    now = pickle.dumps(model)
    return {kind: [ask for ask in asks if done(pickle.loads(now).answer(ask))] for kind, asks in CHANGES.items()}


def done(outcome: Any) -> bool:
    """Whether an outcome is no refusal, and not of a look."""
    return (outcome[0] if isinstance(outcome, tuple) else outcome) in (200, 201, 202, 204)


def rivals(one: Ask) -> Asks:
    """The requests of the same kind as another, about the same device or by the same person."""
    found = {
        kind: [ask for ask in asks if kind == one.what or ask.device == one.device != "" or ask.who == one.who != ""]
        for kind, asks in CHANGES.items()
    }
    # Two who enter one device both write what the other does, and which of them did last is all that there is to say.
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
    """Requests one after the other."""

    def __init__(self, asking: Asking, begin: moto_registry.State) -> None:
        super().__init__()
        self.asking, self.model = asking, Model()
        self.last = Ask("rufus_bind", "ada")
        """The last request of those that may change something."""
        self.drawn: Counter[UUID] = Counter()
        asking.forget()
        moto_registry.restore(begin)

    def chance(self, seed: UUID) -> Random:
        """Another one each time, even of the same seed."""
        self.drawn[seed] += 1
        return Random(f"{seed} {self.drawn[seed]}")

    @rule(seed=SEEDS)
    def one(self, seed: UUID) -> None:
        chance = self.chance(seed)
        asks = chance.choices((possible(self.model), rivals(self.last), LOOKS, self.clients()), (6, 3, 2, 1))[0]
        ask = choice(chance, asks)
        self.last = ask if ask.what in CHANGES else self.last
        note(str(ask))
        before = moto_registry.tables()
        answer = self.asking.ask(ask)
        expected = self.model.answer(ask)
        assert said(ask, answer) == expected
        self.asking.learn(ask, answer)
        tables = moto_registry.tables()
        assert broken(tables) == []
        assert self.asking.held(tables) == held_by(self.model)
        assert self.asking.flagged(tables) == [self.model.entered, self.model.banned, self.model.inactive]
        if not done(expected):
            assert (tables["BINDINGS"], tables["DEVICES"]) == (before["BINDINGS"], before["DEVICES"])

    def clients(self) -> Asks:
        """What comes to the relay."""
        asks = LOOKS["relay"]
        return {"relay": [ask for ask in asks if (ask.who, ask.device) in self.model.leases] or asks}


class Concurrent(Sequential):
    """And, at any point, two at once. What they would have changed is put back."""

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


def test_every_answer_is_the_models_and_the_tables_hold_what_it_holds(asking: Asking) -> None:
    run(Sequential, asking, rounds(short=12, full=100), rounds(short=40, full=80))


def test_any_two_requests_at_once_end_as_one_after_the_other_does(asking: Asking) -> None:
    run(Concurrent, asking, rounds(short=4, full=60), rounds(short=25, full=60))
