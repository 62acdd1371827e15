"""GET /v1/device/classifications: which lists of words this API has (document 002)."""

from bindery.asseco import classifications, dialect
from bindery.http.messages import Access, Reply, Request
from bindery.http.operation import operation


class ListClassifications(Request):
    """Nothing more than that."""


class Info(dialect.Shown):
    """A classification without its values."""

    schema_id: str
    name: str
    description: str


class Classifications(Reply):
    """All of them."""

    items: list[Info]


@operation(dialect, Access.READ)
def handler(request: ListClassifications, caller: str) -> Classifications:
    """List the classifications; each is shown with its values by its id."""
    return Classifications(items=[Info.model_validate(found, from_attributes=True) for found in classifications.ALL])
