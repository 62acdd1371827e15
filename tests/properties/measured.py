"""What a proof measured on its way, for whoever reads its output: nothing fails by it."""

from typing import Any

from tests.properties.scale import FULL

NOTHING: dict[str, Any] = {"lines": [], "most": {}}

_lines: list[str] = []
_most: dict[str, tuple[float, str]] = {}


def report(what: str, found: str) -> None:
    """Show this when the run is over."""
    _lines.append(f"{what}: {found}")


def most(what: str, milliseconds: float, where: str) -> None:
    """Show the most of this that there was when the run is over."""
    _most[what] = max(_most.get(what, (0.0, "")), (milliseconds, where))


def noted() -> dict[str, Any]:
    """What was reported so far, as JSON has it: for another process."""
    return {"lines": _lines, "most": _most}


def add(noted: dict[str, Any]) -> None:
    """Add what another process noted."""
    _lines.extend(noted["lines"])
    for what, (milliseconds, where) in noted["most"].items():
        most(what, milliseconds, where)


def lines() -> list[str]:
    """All of it, in the full form."""
    return [*_lines, *(f"{what}: {ms:.1f} ms at the most, {where}" for what, (ms, where) in _most.items())] * FULL
