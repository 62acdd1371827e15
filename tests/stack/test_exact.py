"""Over all of the suite's tests: each function may do, and is told, exactly what its code was seen to need, and the
OpenAPI document has no example of a refusal that no function was seen to answer."""

import pytest

from tests import calls, documented
from tools import roles, template
from tools.template import Function
from tools.voices import VOICES

GLOBAL = frozenset(template.document()["Globals"]["Function"]["Environment"]["Variables"])

OPERATIONS = [function.name for function in template.functions() if function.name.partition(".")[0] in VOICES]

every_function = pytest.mark.parametrize("function", template.functions(), ids=lambda function: function.name)


@every_function
def test_policy_is_exactly_the_calls_and_keys_of_its_function(function: Function):
    allowed = {
        (action, resource, pattern)
        for resource, actions in roles.access().get(function.name, {}).items()
        for action, patterns in actions.items()
        for pattern in patterns or [""]
    }
    seen = {
        (action, resource, roles.ANY_DEVICE)
        if pattern in roles.DEVICES and (action, resource, roles.ANY_DEVICE) in allowed
        else (action, resource, pattern)
        for action, resource, pattern in calls.granted.get(function.name, set())
    }
    assert allowed == seen, "tools/access.toml, then make generate"


@every_function
def test_a_function_is_told_every_setting_that_it_reads_and_no_other(function: Function):
    read = calls.settings_read.get(function.name, set())
    assert set(function.environment) - GLOBAL == read - GLOBAL


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_refusal_that_the_document_shows_was_answered_word_for_word(name: str):
    assert documented.refusals(name).keys() == {reason for answered, reason in calls.answered if answered == name}
