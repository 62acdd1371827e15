"""Lists of routes and the functions that the documentation invokes match template.yaml."""

import re

import pytest

from tools import template
from tools.generate import routes

INVOKED = re.compile(r"sam local invoke (\w+) -e (\S+)")


@pytest.mark.parametrize(("path", "made"), [(routes.MODULE, routes.module), (routes.PAGE, routes.page)])
def test_lists_of_routes_match_the_template(path, made) -> None:
    assert path.read_text() == made(), "run: make generate"


def test_documented_sam_local_commands_use_the_functions_event() -> None:
    functions = {function.logical_id: function for function in template.functions()}
    documents = [template.ROOT / "README.md", template.ROOT / "CONTRIBUTING.md", *template.ROOT.glob("docs/*.md")]
    invoked = [found for document in documents for found in INVOKED.findall(document.read_text())]
    assert invoked
    for logical_id, event in invoked:
        assert functions[logical_id].event == template.ROOT / event
