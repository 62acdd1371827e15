"""DynamoDB conditions, each with the reason for its failure."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from bindery.core.errors import Reason, Refused

# An attribute name, or a tuple: `("shares", uid)` is the member `uid` of the map `shares`.
Path = str | tuple[str, ...]

# The reason to raise, or a function that derives it from the existing item ({} if none).
Verdict = Reason | Callable[[Any], Reason]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class _Value(NamedTuple):
    path: Path  # names the placeholder
    value: Any


class Condition(NamedTuple):
    """A condition of a write."""

    parts: tuple[str | tuple[str, ...] | _Value, ...]  # text, paths (always tuples) and values
    verdict: Verdict | None = None
    detail: Mapping[str, str] = NOTHING
    joined: str = ""  # the operator that joins the parts

    def __and__(self, other: "Condition") -> "Condition":
        return self._join("AND", other)

    def __or__(self, other: "Condition") -> "Condition":
        return self._join("OR", other)

    def __invert__(self) -> "Condition":
        return Condition(("NOT (", *self.parts, ")"))

    def _join(self, operator: str, other: "Condition") -> "Condition":
        return Condition((*self._operand(operator), f" {operator} ", *other._operand(operator)), joined=operator)

    def _operand(self, operator: str) -> tuple[str | tuple[str, ...] | _Value, ...]:
        # DynamoDB rejects redundant parentheses.
        return ("(", *self.parts, ")") if self.joined not in ("", operator) else self.parts

    def raises(self, verdict: Verdict, **detail: str) -> "Condition":
        """Add the reason and details of its failure."""
        return self._replace(verdict=verdict, detail=detail)

    def refusal(self, existing: dict[str, Any]) -> Refused:
        """Return the exception for an existing item."""
        if self.verdict is None:
            raise TypeError("a condition of a write needs a reason")
        return Refused(self.verdict(existing) if callable(self.verdict) else self.verdict, **self.detail)


def exists(path: Path = "pk") -> Condition:
    """Condition: the item or attribute exists."""
    return Condition(("attribute_exists(", _path(path), ")"))


def absent(path: Path = "pk") -> Condition:
    """Condition: the item or attribute does not exist."""
    return Condition(("attribute_not_exists(", _path(path), ")"))


def equals(path: Path, value: Any) -> Condition:
    """Condition: an attribute has a value."""
    return _compared(path, "=", value)


def at_most(path: Path, value: int | str) -> Condition:
    """Condition: a number or text is at most `value`."""
    return _compared(path, "<=", value)


def above(path: Path, value: int) -> Condition:
    """Condition: a number is greater than `value`."""
    return _compared(path, ">", value)


def one_of(path: Path, values: Sequence[Any]) -> Condition:
    """Condition: an attribute has one of 100 values at most."""
    listed: list[str | _Value] = []
    for value in values:
        listed += [", ", _Value(path, value)]
    return Condition((_path(path), " IN (", *listed[1:], ")"))


def begins_with(path: Path, prefix: str) -> Condition:
    """Condition: a text begins with another."""
    return Condition(("begins_with(", _path(path), ", ", _Value(path, prefix), ")"))


def contains(path: Path, member: str) -> Condition:
    """Condition: a list or set has a member."""
    return Condition(("contains(", _path(path), ", ", _Value(path, member), ")"))


def fewer(path: Path, limit: int) -> Condition:
    """Condition: a map, list or set has under `limit` members."""
    return Condition(("size(", _path(path), ") < ", _Value(path, limit)))


def every(conditions: Sequence[Condition]) -> Condition:
    """Condition: all conditions hold."""
    first, *others = conditions
    for other in others:
        first &= other
    return first


def _compared(path: Path, operator: str, value: Any) -> Condition:
    return Condition((_path(path), f" {operator} ", _Value(path, value)))


def _path(path: Path) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else path


class Placeholders:
    """Names and values of a request's expressions."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def path(self, path: Path) -> str:
        """Return the placeholders of a path."""
        attribute, *members = _path(path)
        return ".".join([self._name(f"#{attribute}", attribute), *map(self._member, members)])

    def value(self, path: Path, value: Any) -> str:
        """Return the placeholder of a value."""
        attribute = f":{_path(path)[0]}"
        placeholder = attribute
        while placeholder in self.values:
            placeholder = f"{attribute}_{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def condition(self, condition: Condition) -> str:
        """Return an expression."""
        return "".join(map(self._part, condition.parts))

    def _part(self, part: str | tuple[str, ...] | _Value) -> str:
        if isinstance(part, str):
            return part
        return self.value(*part) if isinstance(part, _Value) else self.path(part)

    def _member(self, member: str) -> str:
        # A member can be any text, such as a uid, so it gets a number. Attribute names never begin with a digit.
        return self._name(f"#{len(self.names)}", member)

    def _name(self, placeholder: str, name: str) -> str:
        self.names[placeholder] = name
        return placeholder
