"""Over all of the suite's tests: each function may do, and is told, exactly what its code was seen to need, and the
OpenAPI document has no example of a refusal that no function was seen to answer."""

import re
from typing import Any

import pytest

from tests import calls, documented
from tools import template
from tools.template import Function
from tools.voices import VOICES

GLOBAL = frozenset(template.document()["Globals"]["Function"]["Environment"]["Variables"])

OPERATIONS = [function.name for function in template.functions() if function.name.partition(".")[0] in VOICES]

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def table(name: str) -> str:
    """The table whose ARN, or that of the one used in its stead, a parameter holds."""
    return f"{name.removesuffix('Arn')}Table"


def resource(written: Any) -> str:
    """A statement's resource as `tests.calls` names it: a table, `table/index`, a secret."""
    ((intrinsic, value),) = written.items()
    match intrinsic:
        case "Ref":
            return str(value)
        case "Fn::GetAtt":
            name, attribute = value
            assert attribute == "Value"
            return table(name)
        case "Fn::Sub":
            name, index = re.fullmatch(r"\$\{(\w+)\.Value\}/index/(\w+)", value).groups()
            return f"{table(name)}/{index}"
    raise AssertionError(written)


@every_function
def test_a_functions_policy_is_exactly_the_calls_that_it_makes(function: Function):
    allowed = {
        (action, resource(written))
        for statement in function.policies
        for action in as_list(statement["Action"])
        for written in as_list(statement["Resource"])
    }
    assert allowed == calls.granted.get(function.name, set())


@every_function
def test_a_function_is_told_every_setting_that_it_reads_and_no_other(function: Function):
    read = calls.settings_read.get(function.name, set())
    assert set(function.environment) - GLOBAL == read - GLOBAL


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_refusal_that_the_document_shows_was_answered_word_for_word(name: str):
    assert documented.refusals(name).keys() == {reason for answered, reason in calls.answered if answered == name}
