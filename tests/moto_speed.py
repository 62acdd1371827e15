"""Make moto several times as fast without changing its responses: it answers most calls of the tests."""

import copy
import json
from base64 import b64encode
from collections import defaultdict
from functools import cache
from typing import Any

from moto.core import responses
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Expression, Node, UpdateExpressionFunction
from moto.dynamodb.parsing.expressions import UpdateExpressionParser

_serialize = BaseJSONSerializer._serialize_type_structure
_parse_update = UpdateExpressionParser.make.__func__
_parse_condition = ConditionExpressionParser.parse
_update_item = DynamoDBBackend.update_item

_conditions: dict[tuple[str, ...], tuple[Any, ...]] = {}


def install() -> None:
    """Replace moto's slow parts."""
    BaseJSONSerializer._serialize_type_structure = _serialized
    DepthFirstTraverser.traverse_node_recursively = _traversed
    Node.find_clauses = _found
    Node.__deepcopy__ = _copied_node
    Table.__deepcopy__ = _copied_table
    DynamoDBBackend.update_item = _updated
    ConditionExpressionParser.parse = _parsed
    # Its results are copied before they are changed.
    UpdateExpressionParser.make = cache(lambda expression: _parse_update(UpdateExpressionParser, expression))
    responses.method_names_from_class = cache(responses.method_names_from_class)


def _serialized(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Keep a value that already is in DynamoDB's JSON format: converting it again takes half of moto's time."""
    if shape.name == "AttributeValue" and type(value) is dict:
        # Binary values have been decoded.
        serialized[key] = {"B": b64encode(value["B"]).decode()} if "B" in value else value
    else:
        _serialize(self, serialized, value, shape, key)


# The next functions do the same as moto's with fewer instance checks, which are slow for abstract classes.


def _traversed(self: Any, node: Any, child_id: int = -1) -> Any:
    kind = type(node)
    if not _is_node(kind):
        return node
    if node.children:
        for number, child in enumerate(node.children):
            self.pre_processing_of_child(node, number)
            if _is_node(type(child)):
                _traversed(self, child, number)
    processors = self.__dict__.get("_processors")
    if processors is None:
        processors = self._processors = {}
    if kind not in processors:
        found = self._processing_map().items()
        processors[kind] = next((processor for processed, processor in found if issubclass(kind, processed)), None)
    if (processor := processors[kind]) is not None:
        parent, node = node.parent, processor(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


def _found(self: Any, kinds: list[type]) -> list[Any]:
    found: list[Any] = []
    for child in self.children or ():
        kind = type(child)
        if kind in kinds:
            found.append(child)
        elif _has_clauses(kind):
            found += _found(child, kinds)
    return found


@cache
def _is_node(kind: type) -> bool:
    return issubclass(kind, Node)


@cache
def _has_clauses(kind: type) -> bool:
    return issubclass(kind, Expression | UpdateExpressionFunction)


def _copied_node(node: Any, memo: dict[int, Any]) -> Any:
    made = object.__new__(type(node))
    made.__dict__.update(node.__dict__)
    made.children = None if node.children is None else [copy.deepcopy(child, memo) for child in node.children]
    for child in made.children or ():
        if _is_node(type(child)):
            child.parent = made
    return made


def _copied_table(table: Any, memo: dict[int, Any]) -> Any:
    """Copy only what changes: the items."""
    made = object.__new__(type(table))
    made.__dict__.update(table.__dict__)
    made.items = copied(table.items)
    return made


def copied(items: Any) -> Any:
    """Copy a table's items by key, but not each item: `_updated` makes sure that no item changes."""
    made: Any = defaultdict(dict)
    for key, found in items.items():
        made[key] = dict(found) if type(found) is dict else found
    return made


def _updated(self: Any, table_name: str, key: dict[str, Any], *given: Any, **named: Any) -> Any:
    """Update a copy of an item."""
    table = self.get_table(table_name)
    place = [DynamoType(key[name]) for name in (table.hash_key_attr, table.range_key_attr) if name in key]
    if len(place) == len(key) and (item := table.get_item(*place)) is not None:
        *above, last = place
        (table.items[above[0]] if above else table.items)[last] = copy.deepcopy(item)
    return _update_item(self, table_name, key, *given, **named)


def _parsed(self: Any) -> Any:
    """Parse each condition once."""
    given = (self.condition_expression, self.expression_attribute_names, self.expression_attribute_values)
    wanted = tuple(map(json.dumps, given))
    if wanted not in _conditions:
        parsed = _parse_condition(self)
        _conditions[wanted] = parsed, self.expr_attr_names_found, self.expr_attr_values_found
    parsed, self.expr_attr_names_found, self.expr_attr_values_found = _conditions[wanted]
    return parsed
