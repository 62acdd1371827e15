"""Random choice of requests to the five APIs and of operators, by the model (`tests.properties.model`)."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests import moto_registry
from tests.moto_registry import State
from tests.properties.asking import Asking
from tests.properties.model import ACCOUNTS, ADDRESSED, DEVICES, MODES, NAMES, PHONES, Ask, Model
from tests.records import empty_registry

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
    **every("transfer", device=MODES, more=("offer", "accept", "decline", "withdraw")),
    **every("stock", who=[""], device=DEVICES, more=("lost", "found", "retire", "return")),
    **every("force_unbind", who=["", *ACCOUNTS], device=DEVICES),
    **every("enter", who=[""], device=MODES),
}


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
    with empty_registry() as bank:
        yield Asking(bank)


def explore(machine: Callable[[State], RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run a state machine, made for the registry's state, from that state each time."""
    begin = moto_registry.state()
    try:
        run_state_machine_as_test(
            lambda: machine(begin),
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
