"""Numbers of devices by product, account or API, and by state, from the change feed."""

from collections import Counter
from typing import Any, get_args

from bindery.aws import dynamodb
from bindery.aws.dynamodb import CursorPage, Read
from bindery.core import clock
from bindery.operators.device_lists import Scopes
from bindery.registry import items
from bindery.registry.items import State

SCOPES = 5
"""Maximum number of scopes in a page."""

_NUMBERS = ("all", *get_args(State))
_BATCH = 100
_DAY = 86_400_000


def page(wanted: Scopes, days: int, cursor: str | None) -> CursorPage[dict[str, Any]]:
    """Return a page of the counts of scopes: devices, and bindings by day of the last days.

    A scope's numbers of devices are those of one moment in the history.
    """
    found = wanted.names(cursor, SCOPES + 1)
    return CursorPage([_of_scope(name, days) for name in found[:SCOPES]], found[SCOPES] if found[SCOPES:] else None)


def _of_scope(scope: str, days: int) -> dict[str, Any]:
    kind, _, name = scope.partition("#")
    now = clock.now()
    found = dynamodb.snapshot([items.counts(scope, part) for part in range(items.COUNT_SHARDS)])
    parts: list[dict[str, Any]] = [dict(part) for part in found if part is not None]
    return {
        "kind": kind,
        "name": name,
        "at": now,
        "last_change": max((part["last_change"] for part in parts), default=None),
        "devices": {number: sum(part.get(number, 0) for part in parts) for number in _NUMBERS},
        "days": _of_days(scope, now, days),
    }


def _of_days(scope: str, now: int, days: int) -> list[dict[str, Any]]:
    named = [clock.iso(now - before * _DAY)[:10] for before in reversed(range(days))]
    keys = {items.day_counts(scope, part, day): day for day in named for part in range(items.COUNT_SHARDS)}
    began: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    asked = list(keys)
    for first in range(0, len(asked), _BATCH):
        batch = dynamodb.get_many([Read(key) for key in asked[first : first + _BATCH]])
        for key in asked[first : first + _BATCH]:
            part = batch[key] or {}
            began[keys[key]] += part.get("began", 0)
            ended[keys[key]] += part.get("ended", 0)
    return [{"day": day, "began": began[day], "ended": ended[day]} for day in named]
