"""`bindery stats`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from tools.cli import lists, output
from tools.cli.command import Context, command

Days = Annotated[int, typer.Option(min=0, max=31, help="Days whose bindings are counted, the last of them today.")]

COLUMNS: output.Columns = {
    "DEVICES OF": lambda counts: f"{counts['kind']} {counts['name']}".strip(),
    "ALL": lambda counts: counts["devices"]["all"],
    "BOUND": lambda counts: counts["devices"]["bound"],
    "UNBOUND": lambda counts: counts["devices"]["unbound"],
    "NEVER SEEN": lambda counts: counts["devices"]["never_seen"],
    "ONLINE": lambda counts: counts["devices"]["online"],
    "BANNED": lambda counts: counts["devices"]["banned"],
}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, done=_tables)(stats)


def stats(
    context: Context,
    product: lists.Product = None,
    account: lists.Account = None,
    api: lists.Api = None,
    days: Days = 7,
) -> Any:
    """Count devices by product and state, and bindings by day.

    Numbers are as of the last change in the history, usually seconds ago. Devices
    of rufus are counted by account, those of asseco and vodlix together. `online` includes
    connections whose end was not reported.
    """
    query = lists.query(product=product, account=account, api=api, state=None, since=None)
    scopes = list(context.api.pages("devices", "counts", limit=None, days=days, **query))
    return {
        "scopes": [counts for counts in scopes if counts["devices"]["all"]],
        "devices": _sum(counts["devices"] for counts in scopes),
        "days": _days([counts["days"] for counts in scopes]),
        "last_change": max((counts["last_change"] for counts in scopes if counts["last_change"]), default=None),
        "at": min((counts["at"] for counts in scopes), default=None),
    }


def _sum(numbers: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in numbers:
        total.update(each)
    return dict(total)


def _days(scopes: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, int]] = {}
    for days in scopes:
        for day in days:
            total = found.setdefault(day["day"], {"began": 0, "ended": 0})
            total["began"] += day["began"]
            total["ended"] += day["ended"]
    return [{"day": day, **numbers} for day, numbers in found.items()]


def _tables(found: Mapping[str, Any]) -> str:
    if not found["scopes"]:
        return "No devices."
    rows = [*found["scopes"]]
    if len(rows) > 1:
        rows.append({"kind": "all", "name": "", "devices": found["devices"]})
    others = {
        state.replace("_", "-"): number
        for state, number in found["devices"].items()
        if state in ("disabled", "inactive", "lost", "retired") and number
    }
    lines = output.table(rows, COLUMNS)
    lines += [f"Also: {', '.join(f'{number} {state}' for state, number in others.items())}"] if others else []
    if found["days"]:
        lines += ["", *output.table(found["days"], {"DAY": "day", "BINDINGS BEGUN": "began", "ENDED": "ended"})]
    change = found["last_change"]
    return "\n".join([*lines, "", f"Last change: {output.word('at', change)}"])
