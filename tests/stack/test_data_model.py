"""The data model page is generated, and conditions name attributes that exist."""

import ast

from bindery.registry import items
from tools.generate import data_model
from tools.template import ROOT

PATHS = {"absent", "exists", "equals", "at_most", "above", "one_of", "contains", "fewer"}
"""Functions of `bindery.aws.expressions` whose first argument names an attribute."""


def test_data_model_page_is_up_to_date() -> None:
    assert data_model.PAGE.read_text() == data_model.text()


def test_conditions_name_attributes_that_exist() -> None:
    known = {
        name for kind in data_model.kinds() for name, _, _ in kind.attributes
    } | items.Stored.__annotations__.keys()
    unknown = [
        f"{source.relative_to(ROOT)}:{node.lineno}: {name}"
        for source in sorted((ROOT / "layers/bindery/bindery").rglob("*.py"))
        for node in ast.walk(ast.parse(source.read_text()))
        for name in _named(node)
        if name not in known
    ]
    assert unknown == []


def _named(node: ast.AST) -> list[str]:
    match node:
        case ast.Call(func=ast.Name(id=function), args=[path, *_]) if function in PATHS:
            named = [path]
        case ast.keyword(arg="remove", value=ast.List(elts=paths)):
            named = paths
        case _:
            return []
    attributes = [path.elts[0] if isinstance(path, ast.Tuple) else path for path in named]
    return [each.value for each in attributes if isinstance(each, ast.Constant) and isinstance(each.value, str)]
