"""Records of the tables' streams, and what is derived from them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bindery.aws.attribute_values import decode
from bindery.aws.dynamodb import Table
from bindery.core import env

TABLES = (Table.DEVICES, Table.BINDINGS, Table.DIRECTORY)
"""Tables with a stream."""


class Change(NamedTuple):
    """A change of an item."""

    id: str
    """The stream's id of the change."""
    at: int
    """Time of the change. On AWS in whole seconds."""
    table: Table
    pk: str
    sk: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None

    def has_passed(self, until: int) -> bool:
        """Return True if a time in seconds had passed."""
        return until * 1000 <= self.at


class Person(NamedTuple):
    """A user or customer, in whose place events have a pseudonym."""

    holder: str


class Derived(NamedTuple):
    """An event that a change shows, with persons in clear."""

    type: str
    facts: tuple[str, ...]
    """Identity of the event: the id of its change, or if several changes can show it, the event itself."""
    at: int
    chain: str | Person
    data: dict[str, Any]
    ended: tuple[str, ...] = ()
    """Id of the binding, share or offer whose end (or beginning, of an offer) this is, and in multi mode of a share's
    binding.

    If an operator did it, there is an act.
    """
    since: int | None = None
    """Time at which a deleted device was created."""


def parse(record: Mapping[str, Any]) -> Change:
    """Return the change of a stream record."""
    content = record["dynamodb"]
    key = decode(content["Keys"])
    return Change(
        record["eventID"],
        time_of(record),
        _table(record["eventSourceARN"]),
        key["pk"],
        key.get("sk", ""),
        decode(content["OldImage"]) if "OldImage" in content else None,
        decode(content["NewImage"]) if "NewImage" in content else None,
    )


def time_of(record: Mapping[str, Any]) -> int:
    """Return the time of a stream record in milliseconds."""
    seconds: float = record["dynamodb"]["ApproximateCreationDateTime"]
    return round(seconds * 1000)


def _table(arn: str) -> Table:
    name = arn.split("/")[1]
    return next(table for table in TABLES if env.read(table.value) == name)
