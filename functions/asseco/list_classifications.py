"""GET /v1/device/classifications (document 002)."""

from bindery.asseco import classifications, dialect
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation


class ListClassifications(Request):
    """No parameters."""


class Info(dialect.Shown):
    """A classification without its values."""

    schema_id: str
    name: str
    description: str


class Classifications(Reply):
    """All classifications."""

    items: list[Info]


@operation(dialect, Access.READ)
def handler(request: ListClassifications, caller: str) -> Classifications:
    """List the classifications."""
    return Classifications(items=[Info.model_validate(found, from_attributes=True) for found in classifications.ALL])
