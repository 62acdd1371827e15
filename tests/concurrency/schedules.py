"""Run every interleaving of the DynamoDB calls of a few requests, and check the result of each.

The requests run in threads, exactly one at a time, which switch just before a call. A schedule is the order of these
calls. All schedules are run, depth first, each from the same state. The tests therefore do not depend on threads that
happen to collide, and moto, which is not reliable under real parallelism, serves only one thread at a time.

A schedule is valid if some serial order of the requests gives the same responses and items. A request that ended before
another began comes first in that order. A request that forbids something (a ban) also comes before a request that gains
it by a last call after the ban's response, even if that request began earlier. A request that was told to retry is not
part of the order: it must not have changed anything.
"""

import importlib.util
import json
import random
import re
import secrets
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import pytest
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

from bindery.aws.attribute_values import decode
from bindery.core import clock
from bindery.directory import bulk_import
from bindery.http.messages import Call
from bindery.operators import resource as door
from bindery.registry import identity
from tests import aws_calls
from tests.http_api import Response, admin
from tests.moto_registry import State, restore, state
from tests.properties.scale import FULL
from tests.tables import Tables, everything
from tools import template

_PATIENCE = 120
"""Maximum number of seconds between two calls of a request. A longer pause is a bug in the tests."""

_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"})


@dataclass(frozen=True)
class Request:
    """A named request and the function that makes it."""

    name: str
    ask: Callable[[], Response]
    operator: bool = False
    """An operator's response shows the device after the change, read by separate calls. Only the outcome of that
    response is compared, and reads after the first write do not matter, so no other call is scheduled between them."""
    gains: str = ""
    """Gain of the caller if the request succeeds: `bind` or `connect`."""
    forbids: tuple[str, ...] = ()
    """Gains that are forbidden to a request whose last call comes after this request's response."""


def operator(
    does: str,
    resource: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: Any = "",
    forbids: tuple[str, ...] = (),
) -> Request:
    """Return an operator's request to an admin resource."""
    return Request(does, lambda: admin(resource, method, path, body, query=query), operator=True, forbids=forbids)


def of_device(device: str, does: str, *, query: Any = "", **body: str) -> Request:
    """Return an operator's request for a device: `ban`, `unbind` and the like."""
    path = f"devices/{identity.opaque(device)}/{does}"
    return operator(does, "devices", "POST", path, body or None, query=query, forbids=_FORBIDS.get(does, ()))


def of_operators(device: str) -> tuple[Request, Request, Request]:
    """Return operators' requests to ban, unban and forcibly unbind a device."""
    ban, end = of_device(device, "ban", reason="stolen"), of_device(device, "unbind", reason="lost")
    return ban, of_device(device, "unban"), end


_FORBIDS = {
    **dict.fromkeys(("ban", "lost", "retire"), ("bind", "connect")),
    "disable": ("bind",),
    "deactivate": ("connect",),
}
"""Operators' actions on a device that forbid something."""


@dataclass(frozen=True)
class Answer:
    """The part of a response that must be the same in some serial order."""

    status: int
    body: str
    again: bool
    """True if the response says that nothing was done and to retry."""

    @property
    def succeeded(self) -> bool:
        """True if the request was not refused. quectel reports this only in the body."""
        return self.status < 400 and not re.match(r'\{"code":(?!200)', self.body)


@dataclass(frozen=True)
class Run:
    """One schedule: the call order, each request's response, and the tables at the end."""

    requests: tuple[Request, ...]
    calls: tuple[tuple[int, str], ...]
    answers: tuple[Answer, ...]
    tables: Tables

    def precedes(self, one: int, other: int) -> bool:
        """True if a request ended before another began or, if it forbids the other, before the other's last call."""
        makers = [maker for maker, _ in self.calls]
        if one not in makers or other not in makers:
            return False
        ends = {maker: step for step, maker in enumerate(makers)}
        forbids = self.requests[other].gains in self.requests[one].forbids and self.answers[other].succeeded
        return ends[one] < (ends[other] if forbids else makers.index(other))

    def __str__(self) -> str:
        lines = [f"  {self.requests[maker].name}: {call}" for maker, call in self.calls]
        answers = zip(self.requests, self.answers, strict=True)
        return "\n".join(
            [*lines, *(f"  {request.name} -> {answer.status} {answer.body}" for request, answer in answers)]
        )


_turn: ContextVar["_Turn | None"] = ContextVar("_turn", default=None)
"""The request that makes the calls of this thread."""


class _Turn:
    """A request in progress. Its thread runs to the next call each time it is resumed."""

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.request = request
        self.call: str | None = None
        """The next call; None once the request has ended."""
        self.reads = False
        """True if the next call only reads."""
        self.answer: Answer | None = None
        self.drawn: Counter[str] = Counter()
        self._written = False
        self._error: BaseException | None = None
        self._go, self._stopped = Semaphore(0), Semaphore(0)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def proceed(self) -> None:
        """Run the request to its next call or its end."""
        self._go.release()
        if not self._stopped.acquire(timeout=_PATIENCE):
            raise TimeoutError(f"{self.request.name} neither calls nor answers")
        if self._error is not None:
            raise self._error

    def before(self, call: str, *, reads: bool) -> None:
        """Wait until this call is scheduled."""
        if self.request.operator and self._written and reads:
            return
        self._written = self._written or not reads
        self.call, self.reads = call, reads
        # In Lambda each request has its own environment. Here they share Powertools' per-request state.
        kept = {name: getattr(BaseRouter, name, None) for name in ("current_event", "lambda_context")}
        self._stopped.release()
        self._go.acquire()
        for name, value in kept.items():
            setattr(BaseRouter, name, value)

    def _run(self) -> None:
        self._go.acquire()
        _turn.set(self)
        try:
            self.answer = answered(self.request)
        except BaseException as error:
            self._error = error
        self.call = None
        self._stopped.release()


def answered(request: Request) -> Answer:
    """Make a request and return the part of its response that is compared."""
    response = request.ask()
    body = response.body
    if request.operator:
        body = json.loads(body).get("reason", "") if response.status >= 400 else ""
    return Answer(response.status, body, "Retry-After" in response.headers)


def explore(requests: Sequence[Request], *, alike: bool = True) -> Iterator[Run]:
    """Run every schedule of these requests, each from the current tables, which are restored at the end.

    Unless `alike`, equivalent schedules are left out: two adjacent reads by two requests commute, so only the schedule
    is run in which the earlier request reads first. The others have the same responses and the same end state. They
    impose no further order either: if a request ends before another begins in one of them, it also does in the schedule
    that is run, because the read that would come first is not the last call of its request.
    """
    asked, before = tuple(requests), state()
    prefix: list[int] = []
    with _certain():
        while True:
            restore(before)
            run, open_ = _schedule(asked, alike, prefix)
            yield run
            # Back to the last call at which another request can be scheduled that has not been tried yet.
            step = max((step for step, others in enumerate(open_) if others), default=None)
            if step is None:
                break
            prefix = [*(maker for maker, _ in run.calls[:step]), open_[step][0]]
    restore(before)


def sample(requests: Sequence[Request], times: int) -> Iterator[Run]:
    """Run `times` random schedules of requests that have too many, each from the current tables.

    The next request is drawn call by call, with a fixed seed.
    """
    asked, before = tuple(requests), state()
    chance = random.Random(0)
    with _certain():
        for _ in range(times):
            restore(before)
            yield _schedule(asked, True, chance=chance)[0]
    restore(before)


def _schedule(
    requests: tuple[Request, ...], alike: bool, prefix: Sequence[int] = (), chance: random.Random | None = None
) -> tuple[Run, list[list[int]]]:
    """Run the schedule that begins with `prefix` and continues at random or with the first request. Also return the
    alternatives at each call."""
    turns = [_Turn(number, request) for number, request in enumerate(requests)]
    calls: list[tuple[int, str]] = []
    others: list[list[int]] = []
    read: _Turn | None = None
    for turn in turns:
        turn.proceed()
    while waiting := [turn for turn in turns if turn.call is not None]:
        if read is not None and read.call is not None and not alike:
            waiting = [turn for turn in waiting if turn.number >= read.number or not turn.reads]
        if len(calls) < len(prefix):
            chosen = turns[prefix[len(calls)]]
        else:
            chosen = waiting[0] if chance is None else chance.choice(waiting)
        assert chosen.call is not None, "the same calls lead to the same state, and so to the same next calls"
        others.append([turn.number for turn in waiting if turn.number > chosen.number])
        calls.append((chosen.number, chosen.call))
        read = chosen if chosen.reads else None
        chosen.proceed()
    answers = tuple(turn.answer for turn in turns if turn.answer is not None)
    return Run(requests, tuple(calls), answers, everything()), others


def in_turn(requests: tuple[Request, ...], order: Sequence[int], before: "State") -> Run:
    """Run requests one after the other. Those missing from `order` are not made and have no response."""
    restore(before)
    answers: list[Answer] = [Answer(0, "", again=True) for _ in requests]
    for number in order:
        turn = _Turn(number, requests[number])
        turn.proceed()
        while turn.call is not None:
            turn.proceed()
        assert turn.answer is not None
        answers[number] = turn.answer
    return Run(requests, (), tuple(answers), everything())


def check(
    requests: Sequence[Request],
    broken: Callable[[Tables], Sequence[str]] = lambda tables: (),
    *,
    drawn: int | None = None,
) -> int:
    """Run all schedules of these requests, or a random sample; check each, and return their number.

    `broken` returns the violations of an end state.
    """
    before = state()
    assert not broken(everything()), "the requests must find a state that may be"
    orders: dict[tuple[int, ...], Run] = {}
    judged: dict[str, Sequence[str]] = {}
    count = 0
    for run in explore(requests, alike=False) if drawn is None else sample(requests, drawn):
        count += 1
        # First, while the tables still hold the result of this schedule, and once per end state.
        if (end := str(run.tables)) not in judged:
            judged[end] = broken(run.tables)
        if judged[end]:
            raise AssertionError(f"schedule {count} leaves what may not be: {'; '.join(judged[end])}\n{run}")
        served = [number for number, answer in enumerate(run.answers) if not answer.again]
        possible = [order for order in permutations(served) if _possible(run, order)]
        for order in possible:
            if order not in orders:
                orders[order] = in_turn(run.requests, order, before)
                assert not any(orders[order].answers[number].again for number in order), f"alone:\n{orders[order]}"
        wrong = [_differences(run, order, orders[order]) for order in possible]
        if all(wrong):
            raise AssertionError(f"schedule {count} is none of\n{run}\n" + "\n".join(wrong))
    return count


def cases(table: str) -> list[str]:
    """Return the cases of a table with lines `state: request | others, others`: the request with each of the others.

    A case is `state: request + other`. A plus sign also joins the others of one case.
    """
    lines = [line.strip().partition(" | ") for line in table.strip().splitlines()]
    return [f"{first} + {other}" for first, _, others in lines for other in others.split(", ")]


def chosen(cases: Sequence[str]) -> list[str]:
    """Return all cases in `make proof`, otherwise those of two requests and every fourth of three."""
    long = [case for case in cases if case.count(" + ") > 1]
    return [case for case in cases if FULL or case not in long or case in long[1::4]]


def parts(case: str) -> tuple[str, list[str]]:
    """Return the state of a case and the names of its requests."""
    given, _, asked = case.partition(": ")
    return given, asked.split(" + ")


def _possible(run: Run, order: Sequence[int]) -> bool:
    """True if no request comes after one that it precedes."""
    return not any(run.precedes(later, one) for at, one in enumerate(order) for later in order[at + 1 :])


def _differences(run: Run, order: Sequence[int], serial: Run) -> str:
    """Describe how a run differs from a serial run; "" if it does not."""
    lines = [
        f"    {run.requests[number].name} would be answered {serial.answers[number]}"
        for number in order
        if serial.answers[number] != run.answers[number]
    ]
    for table in run.tables:
        found, expected = (
            {(item["pk"], item.get("sk")): item for item in state[table]} for state in (run.tables, serial.tables)
        )
        for place in sorted(found.keys() | expected.keys(), key=str):
            was, should = found.get(place, {}), expected.get(place, {})
            if was != should:
                lines.append(f"    {table} {place}:")
                lines += [
                    f"      {name}: {was.get(name)!r}, not {should.get(name)!r}"
                    for name in sorted(was.keys() | should.keys())
                    if was.get(name) != should.get(name)
                ]
    in_order = ", then ".join(run.requests[number].name for number in order) or "nothing at all"
    return "\n".join([f"  {in_order}:", *lines]) if lines else ""


@contextmanager
def _certain() -> Iterator[None]:
    """Give each request its own fixed time and random numbers, the same in every schedule and order."""
    began, elsewhere, choose, draw = clock.now(), uuid.uuid4, secrets.choice, secrets.token_hex

    def now() -> int:
        turn = _turn.get()
        return began if turn is None else began + 1000 * (turn.number + 1)

    def chance(caller: str) -> random.Random | None:
        turn = _turn.get()
        if turn is None or not caller.startswith("bindery"):
            return None
        turn.drawn[caller] += 1
        return random.Random(f"{turn.number} {caller} {turn.drawn[caller]}")

    def uuid4() -> uuid.UUID:
        own = chance(sys._getframe(1).f_globals["__name__"])
        return elsewhere() if own is None else uuid.UUID(int=own.getrandbits(128), version=4)

    def choice(given: Sequence[Any]) -> Any:
        own = chance(sys._getframe(1).f_globals["__name__"])
        return choose(given) if own is None else own.choice(given)

    def token_hex(size: int | None = None) -> str:
        own = chance(sys._getframe(1).f_globals["__name__"])
        return draw(size) if own is None else own.randbytes(size or 32).hex()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", now)
        patch.setattr(uuid, "uuid4", uuid4)
        patch.setattr(secrets, "choice", choice)
        patch.setattr(secrets, "token_hex", token_hex)
        patch.setattr(secrets, "token_urlsafe", token_hex)
        patch.setattr(Call, "elapsed", lambda call: 0.0)
        patch.setattr(template.Function, "load", _load)
        patch.setattr(door, "_ONE_AT_A_TIME", nullcontext())
        patch.setattr(bulk_import, "_WRITERS", 1)
        patch.setattr(aws_calls, "before", [*aws_calls.before, _before_call])
        yield


def _before_call(service: str, operation: str, request: dict[str, Any]) -> None:
    if (turn := _turn.get()) is not None and service == "dynamodb":
        turn.before(f"{operation} {', '.join(_places(request))}".rstrip(), reads=operation not in _WRITES)


def _places(params: dict[str, Any]) -> Iterator[str]:
    """Yield the items that a call names."""
    for item in params.get("TransactItems", ()):
        for member, request in item.items():
            yield f"{member} {' '.join(_places(request))}"
    for keys in params.get("RequestItems", {}).values():
        for key in keys["Keys"]:
            yield " ".join(_places({"Key": key}))
    if key := params.get("Key") or params.get("Item"):
        yield " ".join(str(value) for name, value in decode(key).items() if name in ("pk", "sk"))
    if "KeyConditionExpression" in params:
        yield " ".join(str(value) for value in decode(params["ExpressionAttributeValues"]).values())


_loaded = template.Function.load


def _load(function: template.Function) -> Any:
    """Load a handler. The admin handler serves one request per environment, so each request gets its own copy."""
    turn = _turn.get()
    if turn is None or not turn.request.operator:
        return _loaded(function)
    return _own(function.name, function.source, turn.number)


@cache
def _own(name: str, source: Path, number: int) -> Any:
    spec = importlib.util.spec_from_file_location(f"functions.{name}_{number}", source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler
