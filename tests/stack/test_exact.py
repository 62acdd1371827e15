"""Comparison of the template and the OpenAPI document with the calls and responses recorded in the whole test suite.

Each function has exactly the permissions and settings that it used, and each documented error was returned.
"""

import pytest

from tests import calls, documented
from tools import template
from tools.generate import roles
from tools.template import Function
from tools.voices import VOICES

GLOBAL = frozenset(template.document()["Globals"]["Function"]["Environment"]["Variables"])

OPERATIONS = [function.name for function in template.functions() if function.name.partition(".")[0] in VOICES]

LAMBDAS = ("/stream", "FeedFailures")
"""What Lambda itself uses with a function's role: streams, and the queue of what could not be recorded."""

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)


@every_function
def test_policy_allows_exactly_the_recorded_calls_and_keys(function: Function):
    allowed = {
        (action, resource, pattern)
        for resource, actions in roles.access().get(function.name, {}).items()
        if not resource.endswith(LAMBDAS)
        for action, patterns in actions.items()
        for pattern in patterns or [""]
    }
    seen = {
        (action, resource, roles.ANY_DEVICE)
        if pattern in roles.DEVICES and (action, resource, roles.ANY_DEVICE) in allowed
        else (action, resource, pattern)
        for action, resource, pattern in calls.granted.get(function.name, set())
    }
    assert allowed == seen, "change Access in template.yaml, then make generate"


@every_function
def test_function_has_exactly_the_settings_it_reads(function: Function):
    read = calls.settings_read.get(function.name, set())
    assert set(function.environment) - GLOBAL == read - GLOBAL


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_documented_error_was_returned_verbatim(name: str):
    assert documented.refusals(name).keys() == {reason for answered, reason in calls.answered if answered == name}
