"""Generated files are up to date, and the functions that the documentation invokes are in template.yaml."""

import re

import pytest

from tools import template
from tools.generate import deploying, openapi, response_members, routes, wiring

INVOKED = re.compile(r"sam local invoke (\w+) -e (\S+)")


@pytest.mark.parametrize(
    ("path", "made"),
    [
        *((routes.MODULE, routes.module), (routes.PAGE, routes.page)),
        *((openapi.PATH, openapi.text), (response_members.PAGE, response_members.text)),
    ],
)
def test_generated_file_is_up_to_date(path, made) -> None:
    assert path.read_text() == made(), "run: make generate"


@pytest.mark.parametrize(
    ("path", "rendered"),
    [
        *((deploying.PAGE, deploying.rendered), (deploying.EXAMPLES, deploying.rendered)),
        *((wiring.TEMPLATE, wiring.rendered), (wiring.ROLES, wiring.rendered_roles)),
    ],
)
def test_generated_parts_of_a_file_are_up_to_date(path, rendered) -> None:
    assert rendered(path.read_text()) == path.read_text(), "run: make generate"


def test_documented_sam_local_commands_use_the_functions_event() -> None:
    functions = {function.logical_id: function for function in template.functions()}
    documents = [template.ROOT / "README.md", template.ROOT / "CONTRIBUTING.md", *template.ROOT.glob("docs/*.md")]
    invoked = [found for document in documents for found in INVOKED.findall(document.read_text())]
    assert invoked
    for logical_id, event in invoked:
        assert functions[logical_id].event == template.ROOT / event
