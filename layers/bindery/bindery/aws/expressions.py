"""DynamoDB expressions as data: conditions that carry the reason to raise when they fail, and the clauses of an update.

A path is the name of an attribute, or a tuple that leads into a map: `("shares", uid)` is the member `uid` of `shares`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from bindery.core.errors import Reason, Refused

Path = str | tuple[str, ...]

Verdict = Reason | Callable[[Any], Reason]
"""Reason to raise when a condition fails, or a function that derives it from the existing item ({} for none)."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


class _Value(NamedTuple):
    """A value of an expression, and the attribute that its placeholder is named after."""

    path: Path
    value: Any


class Condition(NamedTuple):
    """What must hold for a write: texts, paths (tuples) and values in the order of the expression.

    A failure raises `verdict` with `detail` (see `raises`). `joined` is the operator that joins its parts, if any.
    """

    parts: tuple[str | tuple[str, ...] | _Value, ...]
    verdict: Verdict | None = None
    detail: Mapping[str, str] = NOTHING
    joined: str = ""

    def __and__(self, other: "Condition") -> "Condition":
        return self._join("AND", other)

    def __or__(self, other: "Condition") -> "Condition":
        return self._join("OR", other)

    def __invert__(self) -> "Condition":
        return Condition(("NOT (", *self.parts, ")"))

    def _join(self, operator: str, other: "Condition") -> "Condition":
        return Condition((*self._operand(operator), f" {operator} ", *other._operand(operator)), joined=operator)

    def _operand(self, operator: str) -> tuple[str | tuple[str, ...] | _Value, ...]:
        # DynamoDB refuses redundant parentheses.
        return ("(", *self.parts, ")") if self.joined not in ("", operator) else self.parts

    def raises(self, verdict: Verdict, **detail: str) -> "Condition":
        """Return the condition with the reason to raise when it fails, and the details of that refusal."""
        return self._replace(verdict=verdict, detail=detail)

    def refusal(self, existing: dict[str, Any]) -> Refused:
        """Return the refusal that a failure means, given the item that exists ({} for none)."""
        if self.verdict is None:
            raise TypeError("a condition of a write needs a reason")
        return Refused(self.verdict(existing) if callable(self.verdict) else self.verdict, **self.detail)


def exists(path: Path = "pk") -> Condition:
    """Condition: the item exists, or has an attribute."""
    return Condition(("attribute_exists(", _path(path), ")"))


def absent(path: Path = "pk") -> Condition:
    """Condition: the item does not exist, or lacks an attribute."""
    return Condition(("attribute_not_exists(", _path(path), ")"))


def equals(path: Path, value: Any) -> Condition:
    """Condition: an attribute has a value."""
    return _compared(path, "=", value)


def at_most(path: Path, value: int) -> Condition:
    """Condition: a number is not greater than `value`."""
    return _compared(path, "<=", value)


def above(path: Path, value: int) -> Condition:
    """Condition: a number is greater than `value`."""
    return _compared(path, ">", value)


def one_of(path: Path, values: Sequence[Any]) -> Condition:
    """Condition: an attribute has one of up to 100 values."""
    listed: list[str | _Value] = []
    for value in values:
        listed += [", ", _Value(path, value)]
    return Condition((_path(path), " IN (", *listed[1:], ")"))


def contains(path: Path, member: str) -> Condition:
    """Condition: a list or set has a member."""
    return Condition(("contains(", _path(path), ", ", _Value(path, member), ")"))


def fewer(path: Path, limit: int) -> Condition:
    """Condition: a map, list or set has fewer than `limit` members."""
    return Condition(("size(", _path(path), ") < ", _Value(path, limit)))


def every(conditions: Sequence[Condition]) -> Condition:
    """Condition: all of at least one condition hold."""
    first, *others = conditions
    for other in others:
        first &= other
    return first


def some(conditions: Sequence[Condition]) -> Condition:
    """Condition: one of at least one condition holds."""
    first, *others = conditions
    for other in others:
        first |= other
    return first


def _compared(path: Path, operator: str, value: Any) -> Condition:
    return Condition((_path(path), f" {operator} ", _Value(path, value)))


def _path(path: Path) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else path


class Placeholders:
    """The names and values of one request's expressions."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def path(self, path: Path) -> str:
        """Return a path as an expression names it."""
        attribute, *members = _path(path)
        return ".".join([self._name(f"#{attribute}", attribute), *map(self._member, members)])

    def value(self, path: Path, value: Any) -> str:
        """Return the placeholder of a value, named after its attribute."""
        attribute = f":{_path(path)[0]}"
        placeholder = attribute
        while placeholder in self.values:
            placeholder = f"{attribute}_{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def condition(self, condition: Condition) -> str:
        """Return a condition expression."""
        return "".join(map(self._part, condition.parts))

    def _part(self, part: str | tuple[str, ...] | _Value) -> str:
        if isinstance(part, str):
            return part
        return self.value(*part) if isinstance(part, _Value) else self.path(part)

    def _member(self, member: str) -> str:
        # A member may be any text, such as a uid, so its placeholder is a number: attributes never begin with a digit.
        return self._name(f"#{len(self.names)}", member)

    def _name(self, placeholder: str, name: str) -> str:
        self.names[placeholder] = name
        return placeholder
