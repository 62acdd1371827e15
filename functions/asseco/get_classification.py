"""GET /v1/device/classifications/{schema-id} (document 002)."""

from bindery.asseco import classifications, dialect
from bindery.core.errors import Reason
from bindery.http.messages import Access, Request
from bindery.http.operation import operation

from pydantic import BaseModel, Field


class GetClassification(Request):
    """The classification's id."""

    schema_id: str = Field(validation_alias="schema-id")


class Value(BaseModel):
    """A value of requests and responses."""

    literal: str
    description: str


class Classification(dialect.Shown):
    """A classification and all its values."""

    schema_id: str
    name: str
    description: str
    values: list[Value]


@operation(dialect, Access.READ, refuses=[Reason.NOT_FOUND])
def handler(request: GetClassification, caller: str) -> Classification:
    """Return a classification."""
    found = classifications.find(request.schema_id)
    values = [Value(literal=literal, description=meaning) for literal, meaning in found.values.items()]
    return Classification(schema_id=found.schema_id, name=found.name, description=found.description, values=values)
