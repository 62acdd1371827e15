"""Measurements of the proofs, printed at the end. They do not fail a test."""

from typing import Any

from tests.properties.scale import FULL

NOTHING: dict[str, Any] = {"lines": [], "most": {}}

_lines: list[str] = []
_most: dict[str, tuple[float, str]] = {}


def report(what: str, found: str) -> None:
    """Print this at the end of the run."""
    _lines.append(f"{what}: {found}")


def most(what: str, milliseconds: float, where: str) -> None:
    """Print the maximum of this measurement at the end of the run."""
    _most[what] = max(_most.get(what, (0.0, "")), (milliseconds, where))


def noted() -> dict[str, Any]:
    """Return the reports so far as JSON-compatible data for another process."""
    return {"lines": _lines, "most": _most}


def add(noted: dict[str, Any]) -> None:
    """Add the reports of another process."""
    _lines.extend(noted["lines"])
    for what, (milliseconds, where) in noted["most"].items():
        most(what, milliseconds, where)


def lines() -> list[str]:
    """Return all reports, in the full form only."""
    return [*_lines, *(f"{what}: {ms:.1f} ms at the most, {where}" for what, (ms, where) in _most.items())] * FULL
