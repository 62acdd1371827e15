"""Docstrings say what a signature cannot: the document that an operation is from, and why a function may refuse."""

import ast
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

import pytest

from tools import template
from tools.template import ROOT, Function

SAID_ONCE = {"UNAVAILABLE", "CONFLICT", "INTERNAL"}
"""Reasons that `bindery.aws.dynamodb` and the door explain for all that use them."""


def raised(function: ast.FunctionDef) -> set[str]:
    """The reasons that a function raises in its own words."""
    return {
        name.attr
        for statement in ast.walk(function)
        if isinstance(statement, ast.Raise) and statement.exc is not None
        for name in ast.walk(statement.exc)
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "Reason"
    }


def public() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the layer that others may call."""
    for source in (ROOT / "layers/bindery/bindery").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{source.stem}.{node.name}", node


@pytest.mark.parametrize(
    "function",
    [function for function in template.functions() if not function.name.startswith(("admin.", "default."))],
    ids=lambda function: function.name,
)
def test_an_operation_names_its_first_route_and_the_document_that_it_is_from(function: Function):
    docstring = cleandoc(import_module(f"functions.{function.name}").__doc__ or "")
    route = function.routes[0]
    assert docstring.startswith(f"{route.method} {route.path}")
    assert "document 00" in docstring or "the API's wider documentation" in docstring


def test_a_function_that_refuses_says_why_in_its_docstring():
    silent = {
        name: missing
        for name, function in public()
        if "`REFUSES`" not in (said := ast.get_docstring(function) or "")
        and (missing := {reason for reason in raised(function) - SAID_ONCE if f"`{reason}`" not in said})
    }
    assert silent == {}
