"""Event source mappings, as far as the template uses them: which records a function gets, and how many at once.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html: a record passes if one of the patterns
matches it. A pattern names members down to a leaf, and for each leaf what its value can be.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tools import template


def passes(table: str, record: Mapping[str, Any]) -> bool:
    """Return True if a stream record of a table, by its logical id, reaches the function."""
    return matches(sources()[table], record)


@cache
def at_once() -> dict[str, int]:
    """Return into how many batches, delivered at the same time, each mapping splits its records, by table."""
    return {
        _table(properties["EventSourceArn"]): properties.get("ParallelizationFactor", 1)
        for _, properties in template.resources("AWS::Lambda::EventSourceMapping")
    }


@cache
def sources() -> dict[str, list[dict[str, Any]]]:
    """Return the patterns of each mapping's filters by the table of its stream."""
    return {
        _table(properties["EventSourceArn"]): [
            json.loads(each["Pattern"]) for each in properties["FilterCriteria"]["Filters"]
        ]
        for _, properties in template.resources("AWS::Lambda::EventSourceMapping")
    }


def _table(stream: Mapping[str, Any]) -> str:
    """Return the table of a stream: the stack's own, whatever the parameters."""
    _, _, own = stream["Fn::If"]
    return str(own["Fn::GetAtt"][0])


def matches(patterns: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    """Return True if a record passes."""
    return any(_matches(pattern, record) for pattern in patterns)


def _matches(pattern: Mapping[str, Any], part: object) -> bool:
    members = part if isinstance(part, Mapping) else {}
    return all(
        _matches(inner, members.get(name))
        if isinstance(inner, Mapping)
        else any(_accepts(rule, members.get(name)) for rule in inner)
        for name, inner in pattern.items()
    )


def _accepts(rule: Any, value: Any) -> bool:
    match rule:
        case {"exists": expected}:
            return (value is not None) is bool(expected)
        case {"prefix": start}:
            return isinstance(value, str) and value.startswith(start)
        case str():
            return bool(value == rule)
    raise ValueError(f"the local server does not support the filter rule {rule}")
