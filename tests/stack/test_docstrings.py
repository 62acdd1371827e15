"""Docstrings name the source document of an operation and the reasons that a function raises."""

import ast
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

import pytest

from tools import template
from tools.template import ROOT, Function

SAID_ONCE = {"UNAVAILABLE", "CONFLICT", "INTERNAL"}
"""Reasons that the request handling and `bindery.aws.dynamodb` document for all their callers."""


def raised(function: ast.FunctionDef) -> set[str]:
    """Return the reasons that a function itself raises."""
    return {
        name.attr
        for statement in ast.walk(function)
        if isinstance(statement, ast.Raise) and statement.exc is not None
        for name in ast.walk(statement.exc)
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "Reason"
    }


def public() -> Iterator[tuple[str, ast.FunctionDef]]:
    for source in (ROOT / "layers/bindery/bindery").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{source.stem}.{node.name}", node


@pytest.mark.parametrize(
    "function",
    [function for function in template.http_functions() if not function.name.startswith(("admin.", "default."))],
    ids=lambda function: function.name,
)
def test_operation_docstring_names_its_route_and_document(function: Function):
    docstring = cleandoc(import_module(f"functions.{function.name}").__doc__ or "")
    route = function.routes[0]
    assert docstring.startswith(f"{route.method} {route.path}")
    sources = ("document 00", "the API's wider documentation", "Bindery's own")
    assert any(source in docstring for source in sources)


def test_docstring_names_the_reasons_a_function_raises():
    silent = {
        name: missing
        for name, function in public()
        if "`REFUSES`" not in (said := ast.get_docstring(function) or "")
        and (missing := {reason for reason in raised(function) - SAID_ONCE if f"`{reason}`" not in said})
    }
    assert silent == {}
